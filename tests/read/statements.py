"""Generated SELECTs for the differential test, and the comparison of their rows.

Each statement names the table as {jobs}; ``ordered`` says that its ORDER BY is total, so that rows
compare in order. A statement with LIMIT is always total.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

PLAIN_COLUMNS = (
    "id created_at error estimated_finish fine_tuned_model finished_at hyperparameters integrations metadata method "
    "model object organization_id result_files seed status trained_tokens training_file validation_file provider "
    "fine_tuning_job_id suffix raw key"
).split()
STATUSES = ["succeeded", "failed", "running", "queued", "cancelled", "validating_files", "paused"]


@dataclass(frozen=True)
class Statement:
    sql: str
    ordered: bool


ODD = r"('x'|9e99|mine\.note)"  # values that cannot be compared with a time
MISTAKEN = re.compile(
    rf"created_at (>=|>|<|<=|=|<>|IS|==) {ODD}|{ODD} <= \w*\.?created_at|created_at BETWEEN \S+ AND {ODD}"
    rf"|created_at BETWEEN {ODD}|created_at IN \({ODD}|created_at IN \(\S+, {ODD}"
)


def is_right_to_refuse(sql: str, error: BaseException) -> bool:
    """Whether an error says that a statement compares a time with another type, and the statement does."""
    return "is a Unix time in seconds" in str(error) and MISTAKEN.search(sql) is not None


@dataclass(frozen=True)
class World:
    """The ids and times that exist, and the providers, for the generator to refer to."""

    ids: list[str]
    times: list[int]
    providers: list[str]


def statements(world: World, count: int, seed: int) -> Iterator[Statement]:
    """Yield ``count`` statements, always the same for one world and seed."""
    random_ = random.Random(seed)
    shapes = (
        [_simple] * 8
        + [_newest] * 5
        + [_since] * 7
        + [_join] * 4
        + [_in_subquery, _correlated, _grouped, _window, _cte]
    )
    shapes += [_distinct, _union, _self_join, _left_anti, _aggregate, _view, _exists]
    for _ in range(count):
        yield random_.choice(shapes)(world, random_)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _id(world: World, random_: random.Random) -> str:
    return _quoted(random_.choice([*world.ids, *world.ids[:3], "ftjob-none", "a/b", ""])) if world.ids else "'none'"


def _time(world: World, random_: random.Random) -> str:
    time = random_.choice(world.times or [0]) + random_.choice([0, 0, 0, -1, 1, 61, -7200])
    return random_.choice([str(time)] * 6 + [f"{time}.5", f"'{time}'", "NULL", "0", "'x'", "9e99", "-1"])


def _term(world: World, random_: random.Random, p: str) -> str:
    ids = ", ".join(_id(world, random_) for _ in range(random_.randint(1, 5)))
    status, provider = random_.choice(STATUSES), random_.choice([*world.providers, "nobody"])
    lower = random_.choice(["id", "fine_tuning_job_id"])
    return random_.choice(
        [
            f"{p}{lower} = {_id(world, random_)}",
            f"{p}{lower} IN ({ids})",
            f"{p}id IN ({ids}, NULL)",
            f"{p}id = {_id(world, random_).upper()} COLLATE NOCASE",
            f"{p}id > {_id(world, random_)}",
            f"{p}id LIKE '%{random_.randint(0, 9)}'",
            f"{p}key = {_quoted(provider)} || '/' || {_id(world, random_)}",
            f"{p}created_at {random_.choice(['>=', '>', '<', '<=', '=', '<>', 'IS', '=='])} {_time(world, random_)}",
            f"{p}created_at BETWEEN {_time(world, random_)} AND {_time(world, random_)}",
            f"{_time(world, random_)} <= {p}created_at",
            f"{p}created_at IN ({_time(world, random_)}, {_time(world, random_)})",
            f"{p}created_at IS {random_.choice(['', 'NOT '])}NULL",
            f"{p}status = '{status}'",
            f"{p}status <> '{status}'",
            f"{p}status IN ('{status}', '{random_.choice(STATUSES)}')",
            f"{p}provider = '{provider}'",
            f"{p}provider <> '{provider}'",
            f"{p}provider IN ('{provider}', 'x')",
            f"{p}metadata ->> '$.team' = 'ads'",
            f"{p}model LIKE 'gpt-4o%'",
            f"{p}trained_tokens > 1000",
            f"{p}id IS NULL",
            f"{p}error IS NOT NULL",
            f"length({p}id) > 3",
        ]
    )


def _where(world: World, random_: random.Random, p: str = "") -> str:
    terms = [_term(world, random_, p) for _ in range(random_.choice([0, 1, 1, 1, 2, 2, 3]))]
    if len(terms) >= 2 and random_.random() < 0.25:
        terms = [f"({terms[0]} OR {terms[1]})", *terms[2:]]
    if terms and random_.random() < 0.1:
        terms[0] = f"NOT ({terms[0]})"
    return " WHERE " + " AND ".join(terms) if terms else ""


def _limit(random_: random.Random) -> str:
    limit = random_.choice([0, 1, 2, 5, 20, 99, 100, 101, 1000, -1])
    offset = random_.choice(["", "", " OFFSET 1", " OFFSET 7", " OFFSET 100", " OFFSET -3"])
    return f" LIMIT {limit}{offset}"


def _columns(random_: random.Random) -> str:
    return ", ".join(random_.sample(PLAIN_COLUMNS, random_.randint(1, 6)))


def _simple(world: World, random_: random.Random) -> Statement:
    order = random_.choice(
        ["", " ORDER BY key", " ORDER BY created_at DESC, key", " ORDER BY created_at, key DESC",
         " ORDER BY status, key", " ORDER BY created_at DESC NULLS FIRST, key"]
    )  # fmt: skip
    limit = _limit(random_) if order and random_.random() < 0.6 else ""
    columns = (
        random_.choice([", ".join(PLAIN_COLUMNS), "count(*)", _columns(random_)]) if not limit else _columns(random_)
    )
    return Statement(f"SELECT {columns} FROM {{jobs}}{_where(world, random_)}{order}{limit}", bool(order))


def _newest(world: World, random_: random.Random) -> Statement:
    """Return a SELECT of created_at only, so that ties are equal rows and LIMIT has one right result."""
    order = random_.choice(["DESC"] * 5 + ["ASC"])
    limit = _limit(random_) if random_.random() < 0.8 else ""
    where = _where(world, random_) if random_.random() < 0.5 else ""
    sql = f"SELECT created_at FROM {{jobs}}{where} ORDER BY created_at {order}{limit}"
    return Statement(sql, True)


def _since(world: World, random_: random.Random) -> Statement:
    """Return a SELECT with a bound that exists as a created_at, so that ties lie on both sides of the end of a page."""
    operator = random_.choice([">=", ">=", ">", "="])
    time = random_.choice(world.times or [0])
    order = random_.choice(["", " ORDER BY key", " ORDER BY created_at DESC, key"])
    return Statement(f"SELECT key, created_at FROM {{jobs}} WHERE created_at {operator} {time}{order}", bool(order))


def _join(world: World, random_: random.Random) -> Statement:
    join = random_.choice(["JOIN", "LEFT JOIN", "CROSS JOIN", "RIGHT JOIN", "FULL JOIN"])
    on = random_.choice(["j.id = mine.id", "j.id = mine.id AND j.status = mine.status", "j.created_at >= mine.time",
                         "j.created_at < mine.note"])  # fmt: skip
    one, two = random_.choice([("mine", "{jobs} AS j"), ("{jobs} AS j", "mine")])
    where = _where(world, random_, "j.")
    columns = random_.choice(["mine.id, j.id", "count(*), count(j.id)", "mine.note, j.status, j.created_at"])
    if "count" in columns:
        return Statement(f"SELECT {columns} FROM {one} {join} {two} ON {on}{where}", True)
    order = " ORDER BY mine.id, mine.note, j.key, mine.rowid"
    limit = random_.choice(["", _limit(random_)])
    return Statement(f"SELECT {columns} FROM {one} {join} {two} ON {on}{where}{order}{limit}", True)


def _in_subquery(world: World, random_: random.Random) -> Statement:
    inner = random_.choice(
        ["SELECT id FROM mine", "SELECT id FROM mine WHERE note = 'a'", "SELECT NULL", "SELECT 1 WHERE 0"]
    )
    negated = random_.choice(["", "NOT "])
    return Statement(f"SELECT key, status FROM {{jobs}} WHERE id {negated}IN ({inner}) ORDER BY key", True)


def _correlated(world: World, random_: random.Random) -> Statement:
    inner = random_.choice(
        ["SELECT status FROM {jobs} j WHERE j.id = mine.id ORDER BY key LIMIT 1",
         "SELECT count(*) FROM {jobs} j WHERE j.created_at > mine.time",
         "SELECT max(created_at) FROM {jobs} j WHERE j.status = mine.status",
         "SELECT created_at FROM {jobs} j WHERE j.created_at <= mine.time ORDER BY created_at DESC LIMIT 1"]
    )  # fmt: skip
    return Statement(f"SELECT rowid, ({inner}) FROM mine ORDER BY rowid", True)


def _grouped(world: World, random_: random.Random) -> Statement:
    column = random_.choice(["status", "model", "provider", "created_at", "training_file", "created_at / 3600"])
    having = random_.choice(["", " HAVING count(*) > 1"])
    where = _where(world, random_)
    sql = f"SELECT {column}, count(*), min(created_at), max(key) FROM {{jobs}}{where} GROUP BY {column}{having} ORDER BY 1"
    return Statement(sql, True)


def _window(world: World, random_: random.Random) -> Statement:
    call = random_.choice(["row_number()", "lag(id)", "sum(trained_tokens)", "first_value(key)"])
    over = random_.choice(["ORDER BY created_at DESC, key", "PARTITION BY status ORDER BY key"])
    where = _where(world, random_)
    return Statement(f"SELECT key, {call} OVER ({over}) FROM {{jobs}}{where} ORDER BY key{_limit(random_)}", True)


def _cte(world: World, random_: random.Random) -> Statement:
    kind = random_.choice(["", " MATERIALIZED", " NOT MATERIALIZED"])
    inner = f"SELECT key, id, created_at FROM {{jobs}}{_where(world, random_)} ORDER BY created_at DESC, key{_limit(random_)}"
    return Statement(f"WITH c AS{kind} ({inner}) SELECT a.key, b.id FROM c a JOIN c b USING (key) ORDER BY 1", True)


def _distinct(world: World, random_: random.Random) -> Statement:
    columns = random_.choice(["id", "status", "id, status", "created_at", "provider", "created_at, id"])
    order = ", ".join(str(number) for number in range(1, columns.count(",") + 2))
    shapes = [
        f"SELECT DISTINCT {columns} FROM {{jobs}}{_where(world, random_)} ORDER BY {order}",
        f"SELECT count(DISTINCT id), count(DISTINCT created_at) FROM {{jobs}}{_where(world, random_)}",
        f"SELECT DISTINCT created_at FROM {{jobs}} ORDER BY created_at DESC{_limit(random_)}",
        "SELECT id, count(*) FROM {jobs} GROUP BY id ORDER BY id",
    ]
    return Statement(random_.choice(shapes), True)


def _union(world: World, random_: random.Random) -> Statement:
    operator = random_.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
    one, two = (f"SELECT id FROM {{jobs}}{_where(world, random_)}" for _ in range(2))
    return Statement(f"{one} {operator} {two} ORDER BY 1{_limit(random_)}", True)


def _self_join(world: World, random_: random.Random) -> Statement:
    on = random_.choice(["a.id = b.id", "a.key = b.key", "a.training_file = b.training_file AND a.key < b.key"])
    where = _where(world, random_, "a.")
    return Statement(f"SELECT a.key, b.key FROM {{jobs}} a JOIN {{jobs}} b ON {on}{where} ORDER BY 1, 2", True)


def _left_anti(world: World, random_: random.Random) -> Statement:
    sql = "SELECT mine.rowid, mine.id FROM mine LEFT JOIN {jobs} j ON j.id = mine.id WHERE j.id IS NULL ORDER BY 1"
    return Statement(sql, True)


def _aggregate(world: World, random_: random.Random) -> Statement:
    call = random_.choice(
        ["max(created_at)", "min(created_at)", "count(*)", "sum(trained_tokens)", "max(id), count(error)"]
    )
    return Statement(f"SELECT {call} FROM {{jobs}}{_where(world, random_)}", True)


def _view(world: World, random_: random.Random) -> Statement:
    inner = f"SELECT {', '.join(PLAIN_COLUMNS)} FROM {{jobs}}{_where(world, random_)}"
    where = _where(world, random_)
    return Statement(f"SELECT key, status FROM ({inner}){where} ORDER BY created_at DESC, key{_limit(random_)}", True)


def _exists(world: World, random_: random.Random) -> Statement:
    condition = random_.choice(["j.id = mine.id", "j.created_at > mine.time", "j.status = mine.status"])
    negated = random_.choice(["", "NOT "])
    sql = f"SELECT rowid FROM mine WHERE {negated}EXISTS (SELECT 1 FROM {{jobs}} j WHERE {condition}) ORDER BY 1"
    return Statement(sql, True)
