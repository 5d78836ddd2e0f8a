"""Small campaigns: no paid write is doubled or lost, and the campaigns notice the bugs that would do it.

The large ones are ``python -m tests.campaign``. Each test also says that its faults really hit.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign import crowd, interrupts, kills, lists, mutations, readers, together
from tests.campaign.faults import Campaign, Result
from tests.campaign.world import QUICK
from tests.documents import REQUIRED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ftsql.errors.Warning"),  # writes are open since earlier
    # A sandbox that is stopped just as a connection comes in leaves that one to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FAILING_READS = ("GET 5xx", "GET 500", "GET dropped", "GET truncated", "GET 429")
LOST = ("drop after accept", "500 after accept", "502 after accept", "503 after accept", "truncated", "slow")


def broken(result: Result) -> list[str]:
    return [str(violation) for violation in result.violations[:5]]


@pytest.mark.parametrize(("face", "rows"), [("openai", 250), ("portkey", 100), ("anyapi", 80)])
def test_no_write_is_doubled_or_lost_while_everything_fails(tmp_path: Path, face: str, rows: int) -> None:
    result = Campaign(face, rows, 1, tmp_path, most=5, settings=QUICK, share=1.0).run()
    assert broken(result) == []
    assert sum(result.hits[name] for name in LOST) > 0
    assert result.outcomes["rows committed"] > rows / 5
    if face == "anyapi":
        assert result.unknown_left > 0
    else:
        assert result.found_again > 0
        assert result.hits["list lags"] > 0


def test_what_a_killed_process_left_is_settled_and_nothing_is_sent_for_it(tmp_path: Path) -> None:
    campaign = kills.Kills(12, 1, tmp_path, lanes=8)
    result = campaign.run()
    assert broken(result) == []
    assert campaign.kills >= 12
    assert campaign.promised > 0
    assert campaign.interrupted.total() > 0


def test_processes_that_share_a_store_do_not_touch_each_others_writes(tmp_path: Path) -> None:
    result = together.together(60, 1, tmp_path, most=5, settings=QUICK)
    assert broken(result) == []
    assert result.outcomes["rows committed"] > 10


def test_a_days_limit_holds_over_processes_that_race(tmp_path: Path) -> None:
    result = together.limited(12, 1, tmp_path)
    assert broken(result) == []
    assert result.hits["created"] == 12


@pytest.mark.parametrize("name", ["no-compensation", "retry"])
def test_a_classic_bug_is_noticed(tmp_path: Path, name: str) -> None:
    with mutations.applied(name):
        result = Campaign("openai", 1000, 1, tmp_path, stop_early=True, most=5, settings=QUICK).run()
    assert result.caught is not None


def test_servers_of_any_habits_give_all_rows_or_an_error_that_is_right() -> None:
    result = lists.batch(300, 1)
    assert result.wrong == []
    assert result.outcomes["all rows"] > 0.6 * result.statements
    assert 0 < result.outcomes["error: nothing tells a whole list from a cut one"] < 0.02 * result.statements
    assert result.requests < 4 * result.statements


@pytest.mark.parametrize("name", [name for name, (_, campaign) in mutations.MUTATIONS.items() if campaign == "servers"])
def test_an_old_rule_for_lists_is_noticed(name: str) -> None:
    with mutations.applied(name):
        assert lists.batch(300, 1, stop=True).caught > 0


def test_readers_never_see_half_a_round_nor_an_error_while_sync_writes(tmp_path: Path) -> None:
    result = readers.readers(3, tmp_path, each=1)
    assert result.broken == []
    assert result.rounds > 5
    assert result.moved > 5
    assert all(one.reads > 50 for one in result.readers)
    assert len(result.readers) == 4 or not REQUIRED, "no pyodbc, or no ODBC driver for SQLite"


def test_many_threads_and_processes_read_and_write_through_one_store(tmp_path: Path) -> None:
    result = crowd.crowd(6, 6, 2, 1, tmp_path, rows=4)
    assert result.wrong == []
    assert result.counts["reads"] > 40
    assert result.counts["interrupts that landed"] > 1
    assert result.books.outcomes["rows committed"] > 3
    assert sum(result.books.hits[name] for name in FAILING_READS) > 5
    assert all(one.most["sockets"] > 1 for one in result.members)


def test_what_is_interrupted_leaves_a_connection_that_works_and_books_that_agree(tmp_path: Path) -> None:
    in_time = 0
    for seed in (1, 2, 3):  # on a machine that is busy every Ctrl-C may come when the command is over
        folder = tmp_path / str(seed)
        folder.mkdir()
        result = interrupts.Campaign(6, seed, folder, commands=("INSERT", "sync"), jobs=40, lanes=1).run()
        assert result.wrong == []
        assert result.moments == 24
        assert result.landed("Ctrl-C") + result.landed("interrupt") + result.landed("line") > 6
        assert result.books.outcomes["rows committed"] > 3
        in_time = result.landed("command")
        if in_time:
            break
    assert in_time > 0
