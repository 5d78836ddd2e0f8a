"""ftsql serve, seen by a client that sends its own messages."""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pg_mimic")

from tests.serve.pgwire import PASSWORD, Client, Refused, Served, message, own_file, state


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = own_file(tmp_path_factory.mktemp("serve"))
    with Served(str(path), "--sandbox", "--max-rows", "5000") as started:
        yield started


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.port) as connected:
        yield connected


def test_schema_public_has_the_files_tables_and_the_live_ones_and_schema_live_has_the_live_ones(client: Client) -> None:
    assert client.query("SELECT name FROM files") == client.query("SELECT name FROM public.files") == [("mine",)]
    assert client.query("SELECT count(*) FROM live.files") == [("382",)]
    assert client.query("SELECT count(*) FROM fine_tuning_jobs JOIN notes ON notes.id = 1") == [("250",)]
    listed = client.query(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_name IN ('files', 'notes')"
    )
    assert sorted(listed) == [("live", "files"), ("public", "files"), ("public", "notes")]


def test_values_are_sent_as_postgresql_writes_them(client: Client) -> None:
    assert client.query("SELECT id, note, at, done, size, data, extra, day FROM notes ORDER BY id") == [
        ("1", "first", "2026-01-02 03:04:05", "t", "1.5", "\\x00ff", '{"a": [1, 2]}', "2026-01-02"),
        ("2", None, None, "f", None, None, None, None),
    ]
    assert client.types("SELECT id, note, at, done, size, data, extra, day FROM notes") == [
        20,
        25,
        1114,
        16,
        701,
        17,
        114,
        1082,
    ]


def test_both_protocols_return_the_same_rows(client: Client) -> None:
    for sql in (
        "SELECT id, done FROM notes ORDER BY id",
        "SELECT note FROM noted ORDER BY note NULLS LAST",
        "SHOW server_version",
    ):
        assert client.query(sql) == client.execute(sql)


def test_a_parameter_has_the_type_of_the_column_that_it_is_compared_with(client: Client) -> None:
    assert client.execute("SELECT note FROM notes WHERE id = $1", ["1"]) == [("first",)]
    assert client.execute("SELECT id FROM notes WHERE done = $1", ["t"]) == [("1",)]
    assert client.execute("SELECT id FROM notes WHERE at = $1", ["2026-01-02T03:04:05Z"]) == [("1",)]
    assert client.execute("SELECT id FROM notes ORDER BY id LIMIT $1", ["1"]) == [("1",)]
    assert client.execute("SELECT id FROM notes WHERE note = $1", [None]) == []
    assert client.execute("SELECT id FROM notes WHERE id = $1", ["2"], oids=[23]) == [("2",)]


def test_a_value_that_does_not_fit_its_columns_type_is_an_error(client: Client) -> None:
    with pytest.raises(Refused, match="22000: column number is sent as bigint, but contains 'one'"):
        client.query("SELECT number FROM mixed")
    assert client.query("SELECT CAST(number AS text) FROM mixed")[149:] == [("150",), ("one",)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT notte FROM notes", "42703"),
        ('SELECT "notte" FROM notes', "42703"),
        ("SELECT id FROM notes WHERE status = 'a'", "42703"),
        ("SELECT nothing_such(1)", "42883"),
        ("SELECT FROM WHERE", "42601"),
        ("SELECT 'open", "42601"),
        ("SHOW nothing_such", "42704"),
        ("SET client_encoding = 'LATIN1'", "22023"),
        ("NONSENSE", "0A000"),
        ("SELECT $1", "42P02"),
        ("SELECT count(*) FROM fine_tuning_job_events", "42000"),
        ("FETCH 1 FROM nowhere", "34000"),
        ("EXPLAIN ANALYZE DELETE FROM notes", "25006"),
        ("EXPLAIN (ANALYZE, VERBOSE) INSERT INTO notes VALUES (1)", "25006"),
        ("EXPLAIN DECLARE c CURSOR FOR SELECT 1", "42601"),
        ("DECLARE c CURSOR FOR DELETE FROM notes", "25006"),
        ("COPY notes TO STDOUT", "25006"),
        ("PREPARE p AS SELECT 1", "0A000"),
    ],
)
def test_an_error_carries_postgresqls_code(client: Client, sql: str, expected: str) -> None:
    code = state(client, sql)
    if expected == "42000":
        assert code[:2] in ("42", "0A", ""), code  # the table decides whether it refuses
    else:
        assert code == expected
    assert client.query("SELECT 1") == [("1",)]


def test_explain_of_a_statement_about_the_session_does_not_run_it(client: Client) -> None:
    assert state(client, "EXPLAIN SET application_name = 'changed'") == "42601"
    assert client.query("SHOW application_name") == [("",)]


def test_a_failed_transaction_refuses_statements_until_it_ends(client: Client) -> None:
    client.query("BEGIN")
    assert state(client, "SELECT * FROM nowhere") == "42P01"
    assert state(client, "SELECT 1") == "25P02"
    client.query("COMMIT")
    assert client.query("SELECT 1") == [("1",)]


def test_several_statements_in_one_message_stop_at_the_first_error(client: Client) -> None:
    assert client.query("SELECT 1; SELECT ';' AS two -- three;\n; ") == [("1",), (";",)]
    client.send(message(b"Q", b"SELECT 1; SELECT * FROM nowhere; SELECT 3\0"))
    tags = [tag for tag, _ in client.until()]
    assert tags == [b"T", b"D", b"C", b"E", b"Z"]


def test_a_portal_sends_its_rows_in_parts_and_ends_with_its_transaction(client: Client) -> None:
    client.query("BEGIN")
    client.send(
        message(b"P", b"\0SELECT id FROM fine_tuning_jobs\0\0\0"), message(b"B", b"p\0\0" + b"\0" * 6),
        message(b"E", b"p\0" + struct.pack("!i", 100)), message(b"S"),
    )  # fmt: skip
    assert [tag for tag, _ in client.until()] == [b"1", b"2", *[b"D"] * 100, b"s", b"Z"]
    client.send(message(b"E", b"p\0" + struct.pack("!i", 0)), message(b"S"))
    assert [tag for tag, _ in client.until()] == [*[b"D"] * 150, b"C", b"Z"]
    client.query("COMMIT")
    client.send(message(b"E", b"p\0" + struct.pack("!i", 0)), message(b"S"))
    with pytest.raises(Refused, match="34000"):
        client.answer()


def test_a_cursor_is_declared_fetched_and_closed(client: Client) -> None:
    client.query("BEGIN")
    client.query('DECLARE "c 1" NO SCROLL CURSOR FOR SELECT id FROM fine_tuning_jobs')
    assert [len(client.query('FETCH FORWARD 200 FROM "c 1"')) for _ in range(3)] == [200, 50, 0]
    client.query('CLOSE "c 1"')
    assert state(client, 'FETCH ALL FROM "c 1"') == "34000"
    client.query("ROLLBACK")
    assert state(client, "DECLARE c CURSOR FOR SELECT 1") == "25P01"


def test_statements_about_the_session_are_answered(client: Client) -> None:
    for sql in (
        "SET search_path TO public",
        "SET TIME ZONE 'UTC'",
        "RESET ALL",
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "BEGIN READ ONLY",
        "SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK",
        "START TRANSACTION",
        "END",
        "",
    ):
        client.query(sql)
    client.query("SET application_name = 'a'")
    assert client.query("SHOW application_name") == [("a",)]
    assert client.query("EXPLAIN SELECT * FROM notes")[0][0] == "SCAN notes"
    assert client.query("SHOW transaction_read_only") == [("on",)]


def test_explain_of_a_catalog_query_that_fails_is_an_error(client: Client) -> None:
    with pytest.raises(Refused, match="42"):
        client.query("EXPLAIN SELECT * FROM pg_catalog.pg_class AS a CROSS JOIN pg_attribute AS b USING (id)")


@pytest.mark.long
def test_a_statement_ends_at_its_timeout_and_at_a_cancel_request(served: Served, client: Client) -> None:
    forever = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    client.query("SET statement_timeout = 200")
    assert state(client, forever) == "57014"
    client.query("RESET statement_timeout")
    client.send(message(b"Q", forever.encode() + b"\0"))
    time.sleep(0.3)
    for key in (b"\0\0\0\0", client.key[4:]):
        assert not select.select([client.socket], [], [], 0.5)[0]  # a wrong secret ends nothing
        with Client(served.port, None) as other:
            other.send(struct.pack("!ii", 16, 80877102) + client.key[:4] + key)
            assert other.read() == (b"", b"")
    with pytest.raises(Refused, match="57014: canceling statement due to user request"):
        client.answer()
    assert client.query("SELECT 1") == [("1",)]


def test_more_rows_than_allowed_are_an_error(client: Client) -> None:
    rows = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT {}) SELECT n FROM r"
    assert len(client.query(rows.format(5000))) == 5000
    with pytest.raises(Refused, match="54000: the statement returns more than 5000 rows"):
        client.query(rows.format(5001))


@pytest.mark.long
def test_objects_that_the_catalog_lacks_are_added_empty_and_logged(tmp_path: Path) -> None:
    with Served("--sandbox") as served:
        with Client(served.port) as client:
            assert (
                client.query("SELECT c.oid, c.pokemon FROM pg_catalog.pg_class AS c WHERE c.relname = 'jobs' LIMIT 1")[
                    0
                ][1]
                is None
            )
            assert client.query("SELECT x.a FROM pg_catalog.pg_nothing_such AS x") == []
            assert client.query("SELECT pg_nothing_such(oid) FROM pg_class LIMIT 1") == [(None,)]
            assert state(client, "SELECT pokemon FROM jobs") == "42703"
            assert state(client, "SELECT jobs.pokemon FROM jobs, pg_catalog.pg_class") == "42703"
            assert state(client, "SELECT * FROM pg_class, nowhere") == "42P01"
            for number in range(300):
                client.query(f"SELECT c.x{number} FROM pg_catalog.pg_class AS c LIMIT 1")
        _, said = served.stop()
    assert "the catalog has no column pokemon: added, empty" in said
    assert said.count("added, empty") == 200
    assert "answered without rows" in said


@pytest.mark.long
def test_a_table_that_another_process_creates_is_seen(tmp_path: Path) -> None:
    import apsw

    path = own_file(tmp_path)
    with Served(str(path), "--sandbox") as served, Client(served.port, PASSWORD) as client:
        assert state(client, "SELECT * FROM later") == "42P01"
        db = apsw.Connection(str(path))
        db.execute("CREATE TABLE later (a INTEGER); INSERT INTO later VALUES (7)")
        db.close()
        assert client.query("SELECT a FROM later") == [("7",)]
        assert client.query("SELECT table_name FROM information_schema.tables WHERE table_name = 'later'") == [
            ("later",)
        ]


@pytest.mark.long
def test_a_client_cannot_raise_the_servers_time_limit(tmp_path: Path) -> None:
    forever = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    with (
        Served(str(own_file(tmp_path)), "--sandbox", "--statement-timeout", "0.5") as strict,
        Client(strict.port) as client,
    ):
        for mine in ("'10min'", "0", "DEFAULT"):
            client.query(f"SET statement_timeout = {mine}")
            began = time.monotonic()
            assert state(client, forever) == "57014"
            assert time.monotonic() - began < 15
