"""Hostile statements write nothing, read nothing outside the database, and do not stop the server."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

pytest.importorskip("pg_mimic")

from tests.serve.pgwire import Client, Refused, Served, message, state

pytestmark = pytest.mark.long

WRITES = """\
INSERT INTO notes VALUES (3)
insert into notes (id) select 4
/* */ -- a
 UPDATE notes SET note = 'x'
DELETE FROM notes
DROP TABLE notes
CREATE TABLE t (a int)
CREATE TEMP TABLE t AS SELECT 1
CREATE TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END
CREATE VIRTUAL TABLE t USING fts5(a)
ALTER TABLE notes ADD COLUMN x
WITH x AS (SELECT 1) INSERT INTO notes SELECT 5
WITH x AS (INSERT INTO notes VALUES (6) RETURNING id) SELECT * FROM x
WITH x AS (DELETE FROM notes RETURNING id) SELECT * FROM x
SELECT * INTO t FROM notes
SELECT 1; DELETE FROM notes
SELECT 1 /* ; */; /**/ DELETE FROM notes
EXPLAIN ANALYZE DELETE FROM notes
EXPLAIN DELETE FROM notes
DECLARE c CURSOR FOR DELETE FROM notes
REPLACE INTO notes VALUES (1)
MERGE INTO notes USING files ON true WHEN MATCHED THEN DELETE
TRUNCATE notes
COPY notes FROM '/etc/passwd'
COPY notes TO '/tmp/ftsql-serve-copy'
COPY (SELECT 1) TO PROGRAM 'touch /tmp/ftsql-serve-copy'
ATTACH '/tmp/ftsql-serve-copy' AS x
ATTACH DATABASE 'file:/etc/passwd?mode=ro' AS x
DETACH live
VACUUM INTO '/tmp/ftsql-serve-copy'
PRAGMA journal_mode = DELETE
PRAGMA writable_schema = 1
PRAGMA temp_store_directory = '/tmp'
REINDEX
ANALYZE
LOAD '/tmp/x.so'
DO $$ BEGIN DELETE FROM notes; END $$
CALL something()
CREATE EXTENSION dblink
ALTER SYSTEM SET a = 1
SELECT load_extension('/tmp/x.so')
SELECT writefile('/tmp/ftsql-serve-copy', 'a')
SELECT readfile('/etc/passwd')
SELECT pg_read_file('/etc/passwd')
SELECT lo_import('/etc/passwd')
SELECT edit('a')
SELECT fts3_tokenizer('a', x'00')
SELECT * FROM pragma_database_list
SELECT * FROM pragma_table_info('notes')
SELECT * FROM pragma_journal_mode('delete')
SELECT cancel_job('ftjob-1')
SELECT create_job('gpt-4o-mini', 'file-a')
SELECT upload_file('/etc/passwd')
SELECT wait_job('ftjob-1')
INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('a', 'b')
UPDATE live.fine_tuning_jobs SET status = 'cancelled'
DELETE FROM live.files
INSERT INTO pg_catalog.pg_class (relname) VALUES ('a')
DELETE FROM pg_catalog.pg_settings
DROP TABLE information_schema.tables
LOCK TABLE notes
GRANT ALL ON notes TO x
PREPARE x AS DELETE FROM notes
EXECUTE x
SELECT * FROM notes FOR UPDATE; DELETE FROM notes
"""


@pytest.mark.parametrize("sql", WRITES.replace("-- a\n", "-- a\t").splitlines())
def test_statements_that_write_or_leave_the_database_are_refused_by_both_protocols(client: Client, sql: str) -> None:
    sql = sql.replace("\t", "\n")
    assert state(client, sql) not in ("", "XX000"), sql
    with pytest.raises(Refused):
        client.execute(sql)
    with contextlib.suppress(Refused):
        client.query("ROLLBACK")
    assert not Path("/tmp/ftsql-serve-copy").exists()


HUNGRY = """\
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r
SELECT count(*) FROM fine_tuning_jobs a, fine_tuning_jobs b, fine_tuning_jobs c, fine_tuning_jobs d
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r ORDER BY n DESC
WITH RECURSIVE r(n) AS (SELECT 'aaaaaaaaaaaaaaaa' UNION ALL SELECT n || n FROM r) SELECT max(length(n)) FROM r
SELECT randomblob(1000000000)
SELECT printf('%1000000000d', 1)
SELECT replace(printf('%10000000d', 1), ' ', 'aaaaaaaaaaaaaaaaaaaa')
"""


@pytest.mark.parametrize("sql", HUNGRY.splitlines())
def test_statements_that_take_all_time_or_memory_end_in_an_error(client: Client, sql: str) -> None:
    assert state(client, sql) in ("57014", "53200", "54000", "42883"), sql


@pytest.mark.parametrize(
    "sql", ["SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "SELECT " + "1+" * 50_000 + "1", "SELECT " + "-" * 20_000 + "1",
            "SELECT " + "CASE WHEN 1 THEN " * 5000 + "1" + " END" * 5000, "SELECT 1" + " UNION SELECT 1" * 5000,
            "SELECT '" + "a" * 300_000 + "'", "SELECT " + "NOT " * 30_000 + "1", "SELECT \ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)  # fmt: skip
def test_a_statement_that_is_too_long_or_too_deep_is_refused(client: Client, sql: str) -> None:
    assert state(client, sql) not in ("", "XX000")


SLOW = [
    "SELECT repeat('a', 40) || '!' ~ '^(a+)+$'",
    "SELECT repeat('a', 80) SIMILAR TO '(a|aa)+b'",
    "SET a" + " " * 250_000 + "x",
    "SELECT to_timestamp(repeat(' ', 200) || 'x', repeat(' ', 8) || 'YYYY')",
    "SELECT ('2024-01-01 y' || repeat(' ', 100000) || 'x')::timestamp",
    "SELECT 1;" + "a " * 1_000_000,
    "SELECT length(regexp_replace(repeat('a', 160), 'a', repeat('b', 10000000), 'g'))",
    "SELECT 'x' LIKE repeat('a', 1000000)",
]


@pytest.mark.parametrize("sql", SLOW, ids=[sql[:50] for sql in SLOW])
def test_a_statement_that_would_take_years_ends_and_delays_no_other_client(sql: str) -> None:
    with Served("--sandbox", "--statement-timeout", "4") as own:
        try:
            with Client(own.port, timeout=15) as other, Client(own.port, timeout=15) as client:
                client.send(message(b"Q", sql.encode() + b"\0"))
                began = time.monotonic()
                assert other.query("SELECT 1") == [("1",)]
                assert time.monotonic() - began < 3
                assert list(client.until())[-1][0] == b"Z"
            assert own.memory() < 600
        finally:
            own.process.kill()


def test_arrays_are_concatenated_and_an_empty_array_has_no_elements(client: Client) -> None:
    sql = "SELECT ARRAY[1,2] || 3, 0 || ARRAY[1], ARRAY[1] || ARRAY[2], cardinality('{}'::int[])"
    assert client.query(sql.replace("||", "|| ")) == [("{1,2,3}", "{0,1}", "{1,2}", "0")]
