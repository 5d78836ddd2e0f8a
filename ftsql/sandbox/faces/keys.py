"""API keys in requests: where faces look for one. Any key is good but ``wrong``."""

from __future__ import annotations

from collections.abc import Mapping

WRONG_KEY = "wrong"


def bearer_key(headers: Mapping[str, str]) -> str:
    """The key after ``Bearer``; "" when there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
