"""Which ids can stand in a URL as one segment and nothing else; any other is looked for in a list, or is nobody's."""

from __future__ import annotations

import re
from urllib.parse import unquote

from ftsql.api.account import Account

PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:@=+,-]{0,2047}")
ENCODED = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._~:@=+,-]|%[0-9A-Fa-f]{2}){0,2047}")


def in_url(account: Account, id: str) -> bool:
    """Whether ``id`` can stand in a URL of this account as it is."""
    if account.provider.encoded_ids and ENCODED.fullmatch(id):
        return ".." not in unquote(id)
    return PLAIN.fullmatch(id) is not None
