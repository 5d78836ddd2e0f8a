"""API keys in requests. The faces accept any key except ``wrong``."""

from __future__ import annotations

from collections.abc import Mapping

WRONG_KEY = "wrong"


def bearer_key(headers: Mapping[str, str]) -> str:
    """Return the key after ``Bearer`` in the authorization header, or "" if there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
