"""What belongs to jobs, as a plain HTTP client reads it, and generated SELECTs on it.

A statement names the tables as {jobs}, {events} and {checkpoints}; {events_of:x} is the table-valued form,
whose argument is the SQL text x.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from ftsql.sandbox import Sandbox

COLUMNS = {
    "events": "id created_at level message type data object fine_tuning_job_id provider raw key".split(),
    "checkpoints": (
        "id created_at fine_tuned_model_checkpoint step_number metrics fine_tuning_job_id object provider raw key"
    ).split(),
}
TABLES = {"events": "fine_tuning_job_events", "checkpoints": "fine_tuning_job_checkpoints"}
OF = re.compile(r"\{(events|checkpoints)_of:(.*?)\}")


def paged(sandbox: Sandbox, job: str, kind: str, face: str = "openai") -> list[dict[str, Any]]:
    """Return all events or checkpoints of a job, paged by a plain client."""
    found: list[dict[str, Any]] = []
    with httpx.Client(base_url=sandbox.base_url(face), headers={"Authorization": "Bearer any"}) as http:
        while True:
            query = {"limit": "100", **({"after": found[-1]["id"]} if found else {})}
            page = http.get(f"/fine_tuning/jobs/{job}/{kind}", params=query).raise_for_status().json()
            found += page["data"]
            if not page["has_more"]:
                return found


def wait_for_workers() -> None:
    """Wait until no request is on its way, so that the sandbox can stop."""
    for thread in threading.enumerate():
        if thread.name == "ftsql-worker":
            thread.join(5)


def _text(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, (dict, list)) else value


def expected(thing: dict[str, Any], kind: str, job: str, provider: str) -> tuple[Any, ...]:
    """Return the row for an object."""
    more = {"fine_tuning_job_id": job, "provider": provider, "raw": thing, "key": f"{provider}/{job}/{thing['id']}"}
    return tuple(_text({**thing, **more}.get(name)) for name in COLUMNS[kind])


def live(sql: str) -> str:
    """Return the statement on ftsql's tables."""
    sql = OF.sub(lambda match: f"live.{TABLES[match[1]]}({match[2]})", sql)
    for kind, table in {"jobs": "fine_tuning_jobs", **TABLES}.items():
        sql = sql.replace(f"{{{kind}}}", f"live.{table}")
    return sql


def plain(sql: str) -> str:
    """Return the statement on plain tables with the same rows."""
    sql = OF.sub(
        lambda match: (
            f"(SELECT * FROM plain_{match[1]} WHERE fine_tuning_job_id IN (SELECT value FROM json_each("
            f"iif({match[2]} LIKE '[%', {match[2]}, json_array({match[2]})))))"
        ),
        sql,
    )
    for kind in ("jobs", *TABLES):
        sql = sql.replace(f"{{{kind}}}", f"plain_{kind}")
    return sql


@dataclass(frozen=True)
class World:
    ids: list[str]
    keys: list[str]
    providers: list[str]


def statements(world: World, count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` statements. Their rows are compared without order, except for LIMIT with a total order."""
    random_ = random.Random(seed)
    for _ in range(count):
        yield random_.choice(SHAPES)(world, random_)


def _one(world: World, random_: random.Random) -> str:
    return random_.choice([f"'{random_.choice(world.ids)}'"] * 8 + ["'ftjob-none'", "'a/b'", "''", "7", "7.5", "x'00'"])


def _kind(random_: random.Random) -> str:
    return random_.choice(["events", "events", "checkpoints"])


def _parent(world: World, random_: random.Random, p: str) -> str:
    """Return a condition on the parent."""
    name = random_.choice([f"{p}fine_tuning_job_id"] * 4 + [f"{p}job_id"])
    one, ids = _one(world, random_), ", ".join(_one(world, random_) for _ in range(random_.randint(1, 6)))
    mine = random_.choice(["", " WHERE note = 'a'", " WHERE 0", " ORDER BY id DESC LIMIT 3"])
    jobs = random_.choice(
        ["status = 'succeeded'", "status IN ('failed', 'paused')", "id LIKE '%a'", "created_at % 3 = 0"]
    )
    return random_.choice(
        [f"{name} = {one}", f"{name} IS {one}", f"{one} = {name}", f"{name} = NULL", f"{name} IN ({ids})",
         f"{name} IN ({ids}, NULL)", f"{name} IN (SELECT id FROM mine{mine})",
         f"{name} IN (SELECT id FROM {{jobs}} WHERE {jobs})", f"{name} = (SELECT min(id) FROM {{jobs}} WHERE {jobs})",
         f"({name} = {one} OR {name} = {_one(world, random_)})",
         f"{p}key = '{random_.choice(world.keys)}'", f"{p}key IN ('{random_.choice(world.keys)}', 'x', 'a/b/c')"]
    )  # fmt: skip


def _more(world: World, random_: random.Random, p: str) -> str:
    """Return further conditions."""
    provider = random_.choice([*world.providers, "nobody"])
    terms = [
        f"{p}provider = '{provider}'", f"{p}provider <> '{provider}'", f"{p}provider IN ('{provider}', 'x')",
        f"{p}provider IS '{provider}'", f"{p}provider = NULL", f"{p}created_at % 2 = 0", f"{p}id LIKE '%a'",
        f"{p}fine_tuning_job_id <> {_one(world, random_)}", f"{p}fine_tuning_job_id COLLATE NOCASE = {_one(world, random_)}",
        f"{p}fine_tuning_job_id = {_one(world, random_)} COLLATE NOCASE", f"{p}key > '{random_.choice(world.keys)}'",
        f"{p}fine_tuning_job_id > 'ftjob-M'", f"length({p}raw) % 3 = 0", f"{p}id IS NOT NULL",
    ]  # fmt: skip
    return "".join(f" AND {term}" for term in random_.sample(terms, random_.choice([0, 0, 1, 1, 2])))


def _where(world: World, random_: random.Random, p: str = "") -> str:
    return f" WHERE {_parent(world, random_, p)}{_more(world, random_, p)}"


def _limit(random_: random.Random) -> str:
    return f" LIMIT {random_.choice([0, 1, 5, 100, 101, -1])}{random_.choice(['', '', ' OFFSET 3', ' OFFSET 100'])}"


def _simple(world: World, random_: random.Random) -> str:
    kind = _kind(random_)
    columns = ", ".join(random_.sample(COLUMNS[kind], random_.randint(1, 5)))
    sql = f"SELECT {{columns}} FROM {{{kind}}}{_where(world, random_)}".replace("{columns}", columns)
    return sql if random_.random() < 0.6 else f"{sql} ORDER BY created_at DESC, key{_limit(random_)}"


def _joined(world: World, random_: random.Random) -> str:
    kind, provider = _kind(random_), random_.choice([" AND e.provider = j.provider", ""])
    join = random_.choice(["JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN", "FULL JOIN"])
    join = "LEFT JOIN" if join == "FULL JOIN" else join  # FULL JOIN reads the right side by itself: see test_nested
    where = random_.choice(
        ["", " WHERE j.status = 'running'", " WHERE j.created_at % 2", " WHERE e.id IS NULL", " WHERE j.provider <> 'two'",
         " WHERE e.provider = 'one'", f" WHERE j.id > {_one(world, random_)}", f" WHERE e.fine_tuning_job_id = {_one(world, random_)}"]
    )  # fmt: skip
    name = random_.choice(["fine_tuning_job_id", "fine_tuning_job_id", "job_id"])
    sql = f"FROM {{jobs}} j {join} {{{kind}}} e ON e.{name} = j.id{provider}{where}"
    return random_.choice(
        [f"SELECT j.key, e.key {sql}", f"SELECT j.status, count(*), count(e.id) {sql} GROUP BY 1",
         f"SELECT j.key, e.key, j.status {sql} ORDER BY e.created_at, e.key, j.key{_limit(random_)}",
         f"SELECT DISTINCT j.id, e.provider {sql}"]
    )  # fmt: skip


def _mine(world: World, random_: random.Random) -> str:
    kind, join = _kind(random_), random_.choice(["JOIN", "LEFT JOIN"])
    on = random_.choice(["e.fine_tuning_job_id = m.id", "e.job_id = m.id", "e.fine_tuning_job_id IS m.id"])
    return (
        f"SELECT m.note, m.id, e.key FROM mine m {join} {{{kind}}} e ON {on}{random_.choice(['', ' AND m.note = 1'])}"
    )


def _exists(world: World, random_: random.Random) -> str:
    negated, kind = random_.choice(["", "NOT "]), _kind(random_)
    inner = f"SELECT 1 FROM {{{kind}}} e WHERE e.fine_tuning_job_id = j.id{_more(world, random_, 'e.')}"
    return f"SELECT j.key FROM {{jobs}} j WHERE {negated}EXISTS ({inner})"


def _correlated(world: World, random_: random.Random) -> str:
    kind = _kind(random_)
    call = random_.choice(["count(*)", "max(e.created_at)", "min(e.key)", "group_concat(e.id, '' ORDER BY e.key)"])
    inner = f"SELECT {call} FROM {{{kind}}} e WHERE e.fine_tuning_job_id = j.id{_more(world, random_, 'e.')}"
    return f"SELECT j.key, ({inner}) FROM {{jobs}} j WHERE j.status <> 'x'"


def _self_join(world: World, random_: random.Random) -> str:
    on = random_.choice(
        ["a.key = b.key", "a.fine_tuning_job_id = b.fine_tuning_job_id AND a.created_at = b.created_at"]
    )
    one, two = random_.choice([("events", "events"), ("events", "checkpoints"), ("checkpoints", "checkpoints")])
    on = on if one == two else "a.fine_tuning_job_id = b.fine_tuning_job_id"
    return f"SELECT count(*), max(a.key), min(b.id) FROM {{{one}}} a JOIN {{{two}}} b ON {on}{_where(world, random_, 'a.')}"


def _called(world: World, random_: random.Random) -> str:
    ids = [random_.choice([*world.ids, "ftjob-none"]) for _ in range(random_.randint(0, 5))]
    argument = f"'{random_.choice(world.ids)}'" if random_.random() < 0.4 else f"'{json.dumps(ids)}'"
    kind = _kind(random_)
    more = _more(world, random_, "e.").replace(" AND ", " WHERE ", 1)
    return f"SELECT e.key, e.id FROM {{{kind}_of:{argument}}} e{more}"


def _grouped(world: World, random_: random.Random) -> str:
    column = random_.choice(["fine_tuning_job_id", "provider", "created_at / 3600", "object"])
    kind, where = _kind(random_), _where(world, random_)
    return f"SELECT {column}, count(*), max(id) FROM {{{kind}}}{where} GROUP BY 1 HAVING count(*) > 1 ORDER BY 1"


def _compound(world: World, random_: random.Random) -> str:
    kind, operator = _kind(random_), random_.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
    one, two = (f"SELECT key FROM {{{kind}}}{_where(world, random_)}" for _ in range(2))
    return f"{one} {operator} {two} ORDER BY 1{_limit(random_)}"


SHAPES = [
    _simple,
    _simple,
    _simple,
    _joined,
    _joined,
    _mine,
    _exists,
    _correlated,
    _self_join,
    _called,
    _grouped,
    _compound,
]
