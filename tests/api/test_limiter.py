"""Rate limits: every request of the account obeys the limits that a response states, and ignores nonsense."""

from __future__ import annotations

import email.utils
import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.api.account import Account
from ftsql.api.provider import Provider
from ftsql.api.rate_limiter import Limiter, limiter
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, Connect, fill

COUNT = "SELECT count(*) FROM fine_tuning_jobs"
EMPTY: dict[str, Any] = {"object": "list", "data": [], "has_more": False}
REMAINING, RESET, LIMIT = "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-requests"


def http_date(seconds: float) -> str:
    return email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


# status, headers (or how they are made), seconds that the next request has to wait
ANSWERS: list[tuple[int, dict[str, str] | Callable[[], dict[str, str]], float]] = [
    (429, {"retry-after": "30"}, 30),
    (503, {"retry-after": "1.5"}, 1.5),
    (503, {"retry-after": "30"}, 30),
    (503, {"retry-after-ms": "30000"}, 30),
    (429, {"retry-after-ms": "1500", "retry-after": "30"}, 1.5),
    (429, lambda: {"retry-after": http_date(30)}, 30),
    (429, lambda: {"retry-after": http_date(-30)}, 0),
    (429, lambda: {"retry-after": f"{datetime.now(UTC) + timedelta(seconds=30):%a, %d %b %Y %H:%M:%S} -0000"}, 30),
    (500, {"retry-after": "30"}, 0),
    (200, {"retry-after": "30"}, 0),
    (429, {"retry-after": "121"}, 0),
    *(
        (429, {"retry-after": text}, 0.0)
        for text in ("", "-5", "nan", "inf", "soon", "1_0", "9" * 400, "Mon, 99 Foo 1")
    ),
    (429, {"retry-after-ms": "nonsense", "retry-after": "30"}, 30),
    (429, {"retry-after": "2", REMAINING: "0", RESET: "60"}, 2),
    (200, {REMAINING: "0", RESET: "30"}, 30),
    (200, {REMAINING: "0", RESET: "1s"}, 1),
    (200, {REMAINING: "0", RESET: "6m0s"}, 0),
    (200, {REMAINING: "0", RESET: "1m40s"}, 100),
    (200, {REMAINING: "0", RESET: "1m3.5s"}, 63.5),
    (200, {REMAINING: "0", RESET: "1h2m3.5s"}, 0),
    (200, {REMAINING: "0", RESET: "20ms"}, 0.02),
    *((200, {REMAINING: "0", RESET: f"100s5{unit}"}, 100) for unit in ("us", "µs", "ns")),
    (200, lambda: {REMAINING: "0", RESET: f"{time.time() + 30:.0f}"}, 30),
    (200, lambda: {REMAINING: "0", RESET: f"{(time.time() + 30) * 1000:.0f}"}, 30),
    (200, lambda: {REMAINING: "0", RESET: f"{time.time() - 30:.0f}"}, 0),
    (200, {REMAINING: "0", RESET: "30", LIMIT: "500"}, 30),
    (200, {REMAINING: "0", RESET: "30", LIMIT: "0"}, 0),
    (200, {REMAINING: "0", RESET: "30", LIMIT: "-1"}, 0),
    (200, {REMAINING: "1", RESET: "30"}, 0),
    (200, {REMAINING: "-1", RESET: "30"}, 0),
    (200, {REMAINING: "none", RESET: "30"}, 0),
    (200, {REMAINING: "0"}, 0),
    *((200, {REMAINING: "0", RESET: text}, 0.0) for text in ("", "-1", "nan", "inf", "1x", "1s?", "s", "tomorrow")),
    (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30"}, 0),
    (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30", "x-ratelimit-limit": "40"}, 30),  # Telnyx
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize(("status", "headers", "seconds"), ANSWERS)
def test_a_response_holds_the_account_back_for_as_long_as_it_says(
    in_zone: Callable[[str], None],
    status: int,
    headers: dict[str, str] | Callable[[], dict[str, str]],
    seconds: float,
    zone: str,
) -> None:
    in_zone(zone)
    limit = Limiter()
    limit.update(status, headers() if callable(headers) else headers)
    left = limit.seconds_left()
    if seconds == 0:
        assert left == 0
    else:
        assert max(0, seconds - 2) < left <= seconds + 1  # some headers have whole seconds


def test_a_shorter_wait_never_shortens_an_earlier_one() -> None:
    limit = Limiter()
    limit.update(429, {"retry-after": "30"})
    limit.update(429, {"retry-after": "1"})
    assert limit.seconds_left() > 20


def test_one_account_has_one_limiter_and_other_keys_addresses_and_names_have_others() -> None:
    def account(name: str = "one", url: str = "https://a.example/v1", key: str = "k" * 20) -> Account:
        provider = Provider(name=name, base_url=url, headers={"Authorization": "Bearer ${KEY}"})
        return Account(provider, {"KEY": key})

    held = limiter(account())
    assert limiter(account()) is held
    for other in (account(name="two"), account(url="https://b.example/v1"), account(key="l" * 20)):
        assert limiter(other) is not held
    held.update(429, {"retry-after": "30"})
    del held
    gc.collect()
    assert limiter(account()).seconds_left() == 0  # no client used it any more


@pytest.mark.long
def test_all_connections_of_an_account_obey_a_limit_that_one_of_them_learns(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3)
    told, other = connect(), connect()
    monkeypatch.setenv("OPENAI_API_KEY", "another-key-of-another-account")
    free = connect()
    free.execute(COUNT).fetchall()
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    other.execute(COUNT).fetchall()
    sandbox.fault(Fault(status=200, headers={REMAINING: "0", RESET: "2s"}, body=EMPTY))
    began = time.monotonic()
    assert told.execute(COUNT).fetchall() == [(0,)]
    monkeypatch.setenv("OPENAI_API_KEY", "another-key-of-another-account")
    free.execute(COUNT).fetchall()
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    unheld = time.monotonic() - began
    assert other.execute(COUNT).fetchall() == [(3,)]
    assert time.monotonic() - began >= 1.9
    assert unheld < 1.9
    assert waited(told) == [0]
    assert waited(other)[-1] > 500


def waited(db: ftsql.Connection) -> list[float]:
    return [milliseconds for (milliseconds,) in db.execute("SELECT waited FROM ftsql_requests")]


@pytest.mark.long
def test_a_limit_that_is_used_up_is_waited_for_in_the_middle_of_a_listing(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 150)
    newest = sorted(sandbox.jobs(), key=lambda job: -job["created_at"])[:100]
    page: dict[str, Any] = {"object": "list", "data": newest, "has_more": True}
    sandbox.fault(Fault(status=200, headers={REMAINING: "0", RESET: "700ms"}, body=page))
    assert db.execute(COUNT).fetchall() == [(150,)]
    first, second = waited(db)
    assert first == 0
    assert second > 300


def test_a_limit_that_resets_within_a_second_is_waited_for_too(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(status=200, headers={REMAINING: "0", RESET: "700ms"}, body=EMPTY))
    began = time.monotonic()
    for _ in range(2):
        db.execute(COUNT).fetchall()
    assert time.monotonic() - began >= 0.7
    assert waited(db)[0] == 0


@pytest.mark.long
def test_the_time_that_a_limit_takes_is_not_taken_from_the_retries(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 3.2)
    sandbox.fault(Fault(status=200, headers={REMAINING: "0", RESET: "2900ms"}, body=EMPTY))
    sandbox.fault(Fault(status=500))
    for _ in range(2):
        db.execute(COUNT).fetchall()
    assert [status for (status,) in db.execute("SELECT status FROM ftsql_requests")] == [200, 500, 200]


def test_a_days_quota_is_not_retried_and_delays_no_other_request(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a")
    body = {"error": {"message": "quota", "type": "invalid_request_error", "code": "daily_rate_limit_exceeded"}}
    headers = {"Retry-After": "60", REMAINING: "0", RESET: "60s"}
    sandbox.fault(Fault(method="POST", status=429, headers=headers, body=body))
    with pytest.raises(ftsql.RateLimitError, match="try again tomorrow"):
        db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')")
    assert db.execute(COUNT).fetchall() == [(0,)]
    assert waited(db) == [0, 0]


SLOW = {
    "a Retry-After wait": Fault(status=429, headers={"Retry-After": "60"}),
    "a limit that is used up": Fault(status=200, headers={REMAINING: "0", RESET: "60"}, body=EMPTY),
    "the pause before a retry": Fault(times=None, status=500),
    "a slow answer": Fault(times=None, hang=True),
    "paging": Fault(times=None, after=1, latency=0.05),
}


@pytest.mark.parametrize("during", SLOW)
@pytest.mark.parametrize("how", ["interrupt", "Ctrl-C"])
@pytest.mark.long
def test_an_interrupt_ends_a_read_and_the_connection_can_be_used_afterwards(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch, during: str, how: str
) -> None:
    fill(sandbox, 3000 if during == "paging" else 1)
    sandbox.fault(SLOW[during])
    if during == "a limit that is used up":
        db.execute(COUNT).fetchall()
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        if how == "interrupt":
            db.interrupt()
        else:
            os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises((apsw.InterruptError, KeyboardInterrupt)):
        db.execute("SELECT count(*), sum(length(raw)) FROM fine_tuning_jobs").fetchall()
    ended = time.monotonic()
    timer.join()
    assert ended - sent[0] < 0.2 + 0.8  # promised and a slow machine's grace
    sandbox.clear_faults()
    assert db.execute("SELECT 1").fetchall() == [(1,)]
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-no-limit-holds-back")
    again = ftsql.connect()
    assert again.execute("SELECT count(*) > 0 FROM fine_tuning_jobs").fetchall() == [(1,)]
    again.close()
    if during not in ("a Retry-After wait", "a limit that is used up"):
        assert db.execute("SELECT count(*) > 0 FROM fine_tuning_jobs").fetchall() == [(1,)]


@pytest.mark.long
def test_two_entries_of_one_provider_wait_by_themselves(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 1)
    path = tmp_path / "providers.toml"
    base = f'extends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n'
    path.write_text(
        "".join(
            f'[{name}]\n{base}headers = {{ Authorization = "Bearer {name}-key-0123" }}\n' for name in ("one", "two")
        )
    )
    db = ftsql.connect(config=path, providers=["one", "two"])
    sandbox.fault(Fault(status=429, headers={"Retry-After": "1"}))
    db.execute(f"{COUNT} WHERE provider = 'one'").fetchall()
    db.execute(f"{COUNT} WHERE provider = 'two'").fetchall()
    found = db.execute("SELECT provider, attempt, status, waited > 500 FROM ftsql_requests").fetchall()
    assert found == [("one", 1, 429, 0), ("one", 2, 200, 1), ("two", 1, 200, 0)]
    db.close()
