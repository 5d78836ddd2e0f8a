"""The transactions of a campaign in all shapes that SQL has for them, run by a Writer.

A shape says what SQL keeps (kept) and what must never be sent (never); ``run`` draws one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

import apsw

import ftsql
from ftsql.errors import IntegrityError
from tests.campaign.model import Bad, Transaction
from tests.campaign.writer import Busy, Writer


def run(writer: Writer, shapes: Collection[str] = ()) -> Transaction:
    """One transaction of a random shape, or of one of ``shapes``."""
    names = [name for name in SHAPES if not shapes or name in shapes]
    shape = writer.rng.choices(names, [SHAPES[name][1] for name in names])[0]
    transaction = Transaction(shape)
    try:
        SHAPES[shape][0](writer, transaction)
    finally:
        if writer.db.in_transaction:
            writer.db.execute("ROLLBACK")
    writer.ledger.add(transaction)
    return transaction


def autocommit(writer: Writer, transaction: Transaction) -> None:
    transaction.kept = writer.rows()
    writer.ends(transaction, lambda: writer.insert(transaction.kept))


def begun(writer: Writer, transaction: Transaction) -> None:
    writer.db.execute("BEGIN")
    _several(writer, transaction)
    writer.commit(transaction)


def rolled_back(writer: Writer, transaction: Transaction) -> None:
    writer.db.execute("BEGIN")
    _several(writer, transaction)
    writer.roll_back(transaction)


def with_block(writer: Writer, transaction: Transaction) -> None:
    fails = writer.rng.random() < 0.3

    def block() -> None:
        with writer.db:
            _several(writer, transaction)
            if fails:
                transaction.never, transaction.kept = transaction.kept, []
                raise ZeroDivisionError

    try:
        writer.ends(transaction, block)
    except ZeroDivisionError:
        transaction.outcome = "rolled back"


def _several(writer: Writer, transaction: Transaction) -> None:
    for _ in range(writer.rng.randint(1, 3)):
        rows = writer.rows(20 - len(transaction.kept))
        writer.insert(rows)
        transaction.kept += rows
        if len(transaction.kept) >= 20:
            break


def savepoints(writer: Writer, transaction: Transaction) -> None:
    """A random walk over nested savepoints, some of one name."""
    rng, db, kept = writer.rng, writer.db, transaction.kept
    outer = rng.random() < 0.5
    db.execute("SAVEPOINT outermost" if outer else "BEGIN")
    marks: list[tuple[str, int]] = []
    for _ in range(rng.randint(3, 9)):
        step = rng.choice(("insert", "insert", "insert", "savepoint", "savepoint", "release", "back", "back", "broken"))
        if step == "insert" and len(kept) < 20:
            rows = writer.rows(min(5, 20 - len(kept)))
            writer.insert(rows)
            kept += rows
        elif step == "broken" and len(kept) < 16:
            writer.broken(transaction)
        elif step == "savepoint":
            marks.append((rng.choice("st"), len(kept)))
            db.execute(f"SAVEPOINT {marks[-1][0]}")
        elif marks and step in ("release", "back"):
            name = rng.choice(marks)[0]
            newest = max(index for index, mark in enumerate(marks) if mark[0] == name)
            if step == "release":
                db.execute(f"RELEASE {name}")
                del marks[newest:]
            else:
                db.execute(f"ROLLBACK TO {name}")
                transaction.never += kept[marks[newest][1] :]
                del kept[marks[newest][1] :]
                del marks[newest + 1 :]
    if rng.random() < 0.2:
        writer.roll_back(transaction)
    else:
        writer.ends(transaction, lambda: db.execute("RELEASE outermost" if outer else "COMMIT"))


def broken_statement(writer: Writer, transaction: Transaction) -> None:
    writer.db.execute("BEGIN")
    for again in (writer.rng.random() < 0.7, writer.rng.random() < 0.5):
        if again:
            rows = writer.rows(6)
            writer.insert(rows)
            transaction.kept += rows
        writer.broken(transaction)
    writer.commit(transaction)


def or_fail(writer: Writer, transaction: Transaction) -> None:
    """INSERT OR FAIL with a bad row: those before it stay."""
    transaction.rule = "prefix"
    rows = writer.rows(8)
    at = writer.rng.randrange(len(rows) + 1)
    bad: Bad = writer.rng.choice(("null", "file"))
    rows.insert(at, writer.row(bad))
    transaction.kept, transaction.never = (rows[:at], rows[at:]) if bad == "null" else (rows, [])
    if writer.rng.random() < 0.5:
        writer.ends(transaction, lambda: writer.insert(rows, conflict="OR FAIL"))
        return
    writer.db.execute("BEGIN")
    try:
        writer.insert(rows, conflict="OR FAIL")
    except IntegrityError:
        assert bad == "null"
    writer.commit(transaction)


def or_ignore(writer: Writer, transaction: Transaction) -> None:
    """INSERT OR IGNORE with bad rows: the others stay."""
    transaction.rule = "ignore"
    rows = writer.rows(8)
    for _ in range(writer.rng.randint(1, 3)):
        bad: Bad = writer.rng.choice(("null", "file"))
        rows.insert(writer.rng.randrange(len(rows) + 1), writer.row(bad))
    transaction.kept = [row for row in rows if row.bad != "null"]
    transaction.never = [row for row in rows if row.bad == "null"]
    if writer.rng.random() < 0.5:
        writer.ends(transaction, lambda: writer.insert(rows, conflict="OR IGNORE"))
        return
    writer.db.execute("BEGIN")
    writer.insert(rows, conflict="OR IGNORE")
    writer.commit(transaction)


def busy(writer: Writer, transaction: Transaction) -> None:
    """COMMIT is busy after the rows were sent; then it succeeds, or is rolled back."""
    db = writer.db
    db.set_busy_timeout(0)
    reader = apsw.Connection(str(writer.path))
    try:
        reader.execute("BEGIN; SELECT * FROM mine").fetchall()
        db.execute("BEGIN; INSERT INTO mine VALUES (1)")
        _several(writer, transaction)
        for _ in range(writer.rng.randint(1, 3)):
            try:
                writer.ends(transaction, lambda: _busily(db))
            except Busy:
                continue
            break
    finally:
        reader.close()
        db.set_busy_timeout(5000)
    if transaction.outcome != "open":
        return
    if writer.rng.random() < 0.5:
        writer.commit(transaction)
    else:
        db.execute("ROLLBACK")
        transaction.outcome = "rolled back"


def _busily(db: ftsql.Connection) -> None:
    """COMMIT, where being busy is no end of the transaction."""
    try:
        db.execute("COMMIT")
    except apsw.BusyError as error:
        raise Busy from error


def hooked(writer: Writer, transaction: Transaction) -> None:
    """A commit hook refuses after the rows were sent."""
    writer.db.set_commit_hook(lambda: True)
    try:
        writer.db.execute("BEGIN; INSERT INTO mine VALUES (1)")
        _several(writer, transaction)
        writer.ends(transaction, lambda: writer.db.execute("COMMIT"))
    finally:
        writer.db.set_commit_hook(None)
    assert transaction.outcome != "committed"
    if transaction.error.startswith("ConstraintError"):
        transaction.outcome = "rolled back"


def function(writer: Writer, transaction: Transaction) -> None:
    """create_job acts at once."""
    row = writer.row()
    transaction.kept = [row]
    options = {"suffix": row.tag, **({} if row.seed is None else {"seed": row.seed})} if writer.face.suffix else {}
    sql = "SELECT create_job(?, ?, ?)"
    writer.ends(transaction, lambda: writer.db.execute(sql, (row.model, row.file, json.dumps(options))).fetchall())


def cancel(writer: Writer, transaction: Transaction) -> None:
    """Cancels a job that stands, by function or UPDATE, and creates another."""
    if writer.committed:
        old, id = writer.committed.pop(writer.rng.randrange(len(writer.committed)))
        sql = writer.rng.choice(
            ("SELECT cancel_job(?)", "UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id = ?")
        )
        writer.ledger.cancels(old, "tried")
        ending = Transaction("cancel")
        changes = writer.db.total_changes()
        writer.ends(ending, lambda: writer.db.execute(sql, (id,)).fetchall())
        acted = sql.startswith("SELECT") or writer.db.total_changes() > changes  # a list that lags hides it
        if ending.outcome == "committed" and acted:
            writer.ledger.cancels(old, "done")
    transaction.kept = [writer.row()]
    writer.ends(transaction, lambda: writer.insert(transaction.kept))
    if transaction.outcome == "committed":
        ((new,),) = writer.db.execute("SELECT last_job_id()").fetchall()
        writer.committed.append((transaction.kept[0], str(new)))


SHAPES: dict[str, tuple[Callable[[Writer, Transaction], None], float]] = {
    "autocommit": (autocommit, 4),
    "BEGIN … COMMIT": (begun, 3),
    "ROLLBACK": (rolled_back, 0.7),
    "with": (with_block, 1),
    "savepoints": (savepoints, 2),
    "a statement fails inside": (broken_statement, 1.5),
    "OR FAIL": (or_fail, 1),
    "OR IGNORE": (or_ignore, 1),
    "busy COMMIT": (busy, 1),
    "commit hook": (hooked, 0.5),
    "create_job": (function, 1),
    "cancel": (cancel, 1),
}
