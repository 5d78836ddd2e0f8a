"""Events and checkpoints equal those of a plain HTTP client; a SELECT on them equals that on plain tables.

``FTSQL_DIFFERENTIAL=20000`` makes a longer run, ``FTSQL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Sandbox
from tests.answering import api, job
from tests.conftest import At, Connect, fill
from tests.read.nested import COLUMNS, TABLES, World, expected, live, paged, plain, statements

COUNT = int(os.environ.get("FTSQL_DIFFERENTIAL", "600"))
TOTAL = re.compile(r"ORDER BY [^()]*LIMIT [^()]*$")
SEED = int(os.environ.get("FTSQL_SEED", "20261121"))


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.long
def test_the_rows_are_those_that_a_plain_client_pages_cold_warm_and_through_a_file(
    monkeypatch: pytest.MonkeyPatch, connect: Connect, tmp_path: Path, kind: str
) -> None:
    with Sandbox(jobs=60, speed=0) as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
        jobs = [one["id"] for one in sandbox.jobs()]
        pages = {job: [expected(thing, kind, job, "openai") for thing in paged(sandbox, job, kind)] for job in jobs}
        rows = Counter(row for page in pages.values() for row in page)
        assert max(map(len, pages.values())) > (100 if kind == "events" else 1)
        columns = ", ".join(f"e.{name}" for name in COLUMNS[kind])
        sql = f"SELECT {columns} FROM fine_tuning_jobs j JOIN {TABLES[kind]} e ON e.fine_tuning_job_id = j.id"
        dbs = [connect(store=tmp_path / "store.db") for _ in range(2)]
        for db in (dbs[0], dbs[0], dbs[1], connect()):
            assert Counter(db.execute(sql).fetchall()) == rows
        for job in jobs:
            one = f"SELECT {', '.join(COLUMNS[kind])} FROM {TABLES[kind]} WHERE fine_tuning_job_id = ?"
            for db in dbs:
                assert Counter(db.execute(one, (job,)).fetchall()) == Counter(pages[job]), job


@pytest.mark.parametrize(
    ("table", "hidden", "column"),
    [
        ("fine_tuning_job_events", "job_id", "fine_tuning_job_id"),
        ("fine_tuning_job_checkpoints", "job_id", "fine_tuning_job_id"),
        ("files", "file_id", "id"),
    ],
)
def test_the_hidden_column_has_the_id_by_which_the_table_is_read(
    sandbox: Sandbox, db: ftsql.Connection, table: str, hidden: str, column: str
) -> None:
    id = str(sandbox.add_job(status="succeeded")["id"] if table != "files" else sandbox.add_file()["id"])
    assert db.execute(f"SELECT DISTINCT {hidden} FROM {table} WHERE {column} = ?", (id,)).fetchall() == [(id,)]


@contextmanager
def bench(folder: Path, providers: Sequence[str]) -> Iterator[tuple[ftsql.Connection, World]]:
    """Yield a connection to ``providers`` with jobs of equal ids, plain tables and a local table."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        sandboxes = {
            name: stack.enter_context(Sandbox(jobs=14 + 4 * number, speed=0)) for number, name in enumerate(providers)
        }
        for number, sandbox in enumerate(sandboxes.values()):
            for place in range(6):
                sandbox.add_job(id=f"ftjob-{place}", created_at=1_790_000_000 - 500 * place * (number + 1),
                                status=["succeeded", "failed", "running", "cancelled"][(place + number) % 4])  # fmt: skip
            sandbox.add_job(id="7", created_at=1_780_000_000)
        config = folder / "providers.toml"
        config.write_text(
            "".join(
                f'[{name}]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n'
                f'headers = {{ Authorization = "Bearer key-{name}" }}\n'
                for name, sandbox in sandboxes.items()
            )
        )
        patch.setenv("OPENAI_API_KEY", "unused-here")
        db = ftsql.connect(config=config, providers=list(providers))
        stack.callback(db.close)
        db.execute("CREATE TABLE plain_jobs AS SELECT *, raw, key FROM live.fine_tuning_jobs")
        for kind in TABLES:
            db.execute(
                f"CREATE TABLE plain_{kind} ({', '.join(name + ' TEXT' if name in ('key', 'fine_tuning_job_id') else name for name in COLUMNS[kind])}, job_id TEXT)"
            )
            for name, sandbox in sandboxes.items():
                for job in sandbox.jobs():
                    for thing in paged(sandbox, job["id"], kind):
                        row = (*expected(thing, kind, job["id"], name), job["id"])
                        db.execute(f"INSERT INTO plain_{kind} VALUES ({', '.join('?' * len(row))})", row)
        ids = [str(id) for (id,) in db.execute("SELECT DISTINCT id FROM plain_jobs ORDER BY id")]
        keys = [str(key) for (key,) in db.execute("SELECT key FROM plain_events ORDER BY key")][::37]
        db.execute("CREATE TABLE mine (id TEXT, note)")
        notes = [None, "ftjob-none", "a/b", "7", *ids[::3], ids[0]]
        db.executemany(
            "INSERT INTO mine VALUES (?, ?)", [(id, ["a", "b", 1][place % 3]) for place, id in enumerate(notes)]
        )
        yield db, World(ids, keys, list(providers))


@pytest.mark.parametrize("providers", [["one"], pytest.param(["one", "two"], marks=pytest.mark.slow)], ids=len)
@pytest.mark.long
def test_every_select_equals_that_on_plain_tables(tmp_path: Path, providers: list[str]) -> None:
    random_ = random.Random(SEED)
    with bench(tmp_path, providers) as (db, world):
        failed = []
        for sql in statements(world, COUNT // 2, SEED + len(providers)):
            if random_.random() < 0.2:
                db.ftsql.store.clear()
            rows: list[Any] = []
            try:
                rows = db.execute(live(sql)).fetchall()
            except Exception as error:
                failed.append(f"{live(sql)}: {error}")
                continue
            right = db.execute(plain(sql)).fetchall()
            if (rows != right) if TOTAL.search(sql) else Counter(rows) != Counter(right):
                failed.append(f"{live(sql)}: {len(rows)} rows, should be {len(right)}: {rows[:2]} … {right[:2]}")
        assert not failed, f"{len(failed)} of {COUNT // 2}: " + "\n".join(failed[:10])


def test_an_event_that_comes_late_is_shown_though_its_job_had_finished(at: At) -> None:
    over = job(0, finished_at=int(time.time()) - 10)
    events = [{"id": "ev-0", "created_at": over["finished_at"]}]
    _, db = at(api([over], {"/ftjob-00000/events": events}))
    count = "SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')"
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()  # now the job is known to have finished
    assert db.execute(count).get == 1
    events.insert(0, {"id": "ev-1", "created_at": over["finished_at"] + 5})
    assert db.execute(count).get == 2


def test_a_job_that_is_known_below_the_first_page_has_its_events(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 250)
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    sql = (
        "WITH j AS MATERIALIZED (SELECT count(*) AS jobs FROM fine_tuning_jobs) "
        "SELECT jobs, (SELECT count(*) > 0 FROM fine_tuning_job_events WHERE fine_tuning_job_id = ?) FROM j"
    )
    assert db.execute("SELECT count(*) > 0 FROM fine_tuning_job_events(?)", (ids[200],)).get == 1
    assert db.execute(sql, (ids[220],)).fetchall() == [(250, 1)]
