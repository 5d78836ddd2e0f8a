"""A snapshot's file after its sync was interrupted: nothing yet, or one whole round."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from tests.campaign.standing import COLUMNS, Standing


def begin_anew(path: Path) -> None:
    """Take a snapshot's file away, so that the next round writes all of it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def whole(path: Path, standing: Standing) -> list[str]:
    """Whether a snapshot's file holds one round: nothing yet, or as many rows of each table as the round said."""
    if not path.exists():
        return []
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        if not db.table_exists("main", "sync_state"):
            return []
        wrong = [str(text) for (text,) in db.execute("PRAGMA integrity_check").fetchall() if text != "ok"]
        with contextlib.closing(db.execute("BEGIN")):
            for table, rows in db.execute('SELECT "table", sum(rows) FROM sync_state GROUP BY 1').fetchall():
                found = db.execute(f"SELECT count(*) FROM {table}").get
                if found != rows:
                    wrong.append(f"{path.name}: {found} rows in {table}, not {rows}")
            jobs = db.execute(
                f"SELECT {COLUMNS} FROM fine_tuning_jobs WHERE id LIKE 'ftjob-standing-%' ORDER BY id"
            ).fetchall()
            if jobs and jobs != standing.rows():
                wrong.append(f"{path.name}: it has {len(jobs)} standing jobs")
        return wrong
    finally:
        db.close()
