"""The numbers and switches of one connection; every one has a default that is safe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds.

    ``timeout``: how long an answer may pause, ``connect_timeout``: how long a connection may take to open,
    ``deadline``: how long one request may take in all, ``max_requests``: requests that one statement may
    send, ``max_writes``: creates and cancels that one statement or transaction may send,
    ``verify_order``: never trust a provider's order, ``settle_seconds``: how long to look for a job whose
    creation was interrupted, ``max_body``: bytes of an answer that are read before it is refused.
    """

    timeout: float = 60.0
    connect_timeout: float = 5.0
    deadline: float = 300.0
    max_requests: int = 10_000
    max_writes: int = 20
    verify_order: bool = False
    settle_seconds: float = 15.0
    max_body: int = 256 * 1024 * 1024
