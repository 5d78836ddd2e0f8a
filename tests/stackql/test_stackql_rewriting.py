"""Generated statements: StackQL's form returns one provider's rows, and other SQL stays unchanged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.stackql import translate
from ftsql.stackql.tokens import split_statements
from tests.read.statements import Statement, World, is_right_to_refuse, statements
from tests.read.test_differential import Bench, bench
from tests.stackql import cases

pytestmark = pytest.mark.long

WORLD = World(["ftjob-0001", "ftjob-0002"], [1_790_000_000, 1_790_000_060], ["openai", "portkey"])
GENERATED = [case.sql for case in statements(WORLD, 400, 7)]
PIECES = [
    "SELECT", "FROM", "openai", ".", "fine_tuning", "jobs", "JOIN", "INTO", "(", ")", ",", "'", '"', "`", "[", "]",
    "--", "\n", "/*", "*/", ";", " ", "x", "WHERE", "=", "1", "LEFT", "ON", "AS", "EXEC", "@a", "?", "é", "\x00",
    "INSERT", "VALUES", "RETURNING", "BEGIN", "END", "CREATE", "TRIGGER", "VIEW", "UNION", "SHOW", "DESCRIBE", "*",
]  # fmt: skip


@pytest.mark.parametrize("sql", cases.UNTOUCHED)
def test_sql_that_is_not_stackql_stays_byte_for_byte(sql: str) -> None:
    assert translate(sql) == sql


@pytest.mark.parametrize("name", ["fine_tuning_jobs", "live.fine_tuning_jobs", "openai.fine_tuning", "'openai'"])
def test_plain_statements_stay_byte_for_byte(name: str) -> None:
    for sql in GENERATED:
        text = (
            f"/* EXEC x; */ {sql.replace('{jobs}', name)} -- FROM openai.fine_tuning.jobs\n;SELECT main.fine_tuning.x, "
            "'SHOW METHODS IN openai.fine_tuning.jobs' FROM y"
        )
        assert translate(text) == text


@pytest.mark.parametrize("sql", [sql for sql, _ in cases.TEXTS])
def test_stackql_s_text_inside_quotes_and_comments_stays(sql: str) -> None:
    string = "'" + sql.replace("'", "''") + "'"
    name = '"' + sql.replace('"', '""') + '"'
    for text in (
        f"SELECT {string}",
        f"SELECT {name} FROM t",
        f"SELECT 1 -- {sql.splitlines()[0]}",
        f"/* {sql.replace('*/', '')} */",
    ):
        assert translate(text) == text


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.sampled_from(["", " "]))
def test_any_text_is_translated_or_refused_and_never_breaks(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert "".join(part for part, _ in split_statements(text)) == text
    try:
        translate(text)
    except ProgrammingError as error:
        assert str(error)  # noqa: PT017 - a refusal has a message


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Two providers with equal ids, and a plain table with the rows of the first."""
    patch = pytest.MonkeyPatch()
    patch.delenv("OPENAI_BASE_URL", raising=False)
    folder: Path = tmp_path_factory.mktemp("stackql")
    with bench(folder, ["one", "two"], 60) as made:
        made.db.execute("CREATE TABLE plain_one AS SELECT * FROM plain WHERE provider = 'one'")
        yield made
    patch.undo()


@pytest.mark.filterwarnings("ignore")
def test_a_stackql_statement_returns_the_rows_of_its_provider_alone(two: Bench) -> None:
    failed = []
    drawn = list(statements(two.world, 500, 20261121))
    random.Random(1).shuffle(drawn)
    for case in drawn:
        text = translate(case.sql.replace("{jobs}", "one.fine_tuning.jobs"), two.db.ftsql.providers)
        try:
            live = two.db.execute(text).fetchall()
        except (ftsql.Error, apsw.Error) as error:
            if not is_right_to_refuse(case.sql, error):
                failed.append(f"{text}: {error}")
            continue
        plain = two.db.execute(case.sql.replace("{jobs}", "plain_one")).fetchall()
        if not _same(case, live, plain):
            failed.append(f"{text}: {len(live)} rows, should be {len(plain)}")
    assert failed == []


def _same(case: Statement, live: Sequence[object], plain: Sequence[object]) -> bool:
    return live == plain if case.ordered else Counter(live) == Counter(plain)
