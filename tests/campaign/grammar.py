"""SQL at random, of ftsql's own tables, functions and commands and of everything that SQLite has beside them.

What comes out may be right, wrong or dangerous; ``spoiling`` makes it worse.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ftsql.resources.definitions import TABLES
from tests.campaign.vocabulary import (
    CALLS,
    COLUMNS,
    DOTS,
    KNOWN,
    MODES,
    OPERATORS,
    OWN,
    PRAGMAS,
    SCHEMAS,
    STACKQL,
    TEXTS,
)  # fmt: skip


@dataclass
class Grammar:
    """Statements drawn from ``rng``; ``ids``: of jobs, files and models that exist."""

    rng: random.Random
    ids: Sequence[str] = ()
    known: Sequence[str] = ("id",)  # the columns of the table that was named last
    tables: list[str] = field(
        default_factory=lambda: [*TABLES, *TABLES, *OWN, "t1", "t2", "json_each('[1,2]')", "sqlite_schema"]
    )

    def sql(self) -> str:
        """One statement."""
        kinds = [self.select] * 10 + [
            self.insert,
            self.update,
            self.delete,
            self.make,
            self.transaction,
            self.other,
            self.stackql,
        ] * 2
        return self.rng.choice(kinds)()

    def filled(self, form: str) -> str:
        """``form`` with its places filled: t a text, e an expression, n a number, c a column, w a window."""
        parts = form.split("{")
        makers: dict[str, Callable[[], str]] = {
            "t": self.text,
            "e": self.expression,
            "n": self.number,
            "c": self.column,
            "w": self.window,
            "x": self.word,
            "m": self.mode,
        }
        found = [parts[0]]
        for part in parts[1:]:
            kind, end, rest = part.partition("}")
            found.append(makers[kind]() + rest if end and kind in makers else "{" + part)
        return "".join(found)

    def text(self) -> str:
        value = self.rng.choice([*self.ids, *TEXTS]) if self.rng.random() < 0.7 else self.rng.choice(self.ids or TEXTS)
        return "'" + value.replace("'", "''") + "'"

    def word(self) -> str:
        return self.rng.choice(
            ["x", "notes", "on", "%", "'", '"a b"', "1", "é", "json", ":a", "../x", "fine_tuning_jobs", "-1", "\\x"]
        )

    def mode(self) -> str:
        return self.rng.choice(MODES)

    def number(self) -> str:
        return self.rng.choice(
            [
                "0",
                "1",
                "-1",
                "20",
                "1000",
                "9223372036854775807",
                "9223372036854775808",
                "1e400",
                "1.5",
                "NULL",
                "x'00ff'",
                "0x7f",
            ]
        )

    def column(self) -> str:
        """A column, mostly one of the table that was named last."""
        return self.rng.choice(self.known) if self.rng.random() < 0.93 else self.rng.choice(COLUMNS)

    def table(self) -> str:
        name = self.rng.choice(self.tables)
        self.known = [column.name for column in TABLES[name].columns] if name in TABLES else KNOWN.get(name, COLUMNS)
        if name in TABLES and self.rng.random() < 0.3:
            return f"{name}({self.text()})"
        return (self.rng.choice(SCHEMAS) if self.rng.random() < 0.3 else "") + name

    def window(self) -> str:
        return self.rng.choice(
            [
                "",
                "ORDER BY 1",
                f"PARTITION BY {self.column()} ORDER BY {self.column()}",
                "ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
            ]
        )

    def expression(self, depth: int = 2) -> str:
        rng = self.rng
        how = rng.randrange(11)
        if depth == 0 or how < 4:
            return rng.choice([self.column, self.text, self.number, self.column])()
        if how == 4:
            return f"({self.expression(depth - 1)} {rng.choice(OPERATORS)} {self.expression(depth - 1)})"
        if how == 5:
            return f"({self.select(depth - 1)})"
        if how == 6:
            return f"{self.column()} IN ({rng.choice([self.text(), f'{self.text()}, {self.text()}', self.select(depth - 1), ''])})"
        if how == 7:
            return f"CASE WHEN {self.expression(depth - 1)} THEN {self.expression(depth - 1)} ELSE {self.expression(depth - 1)} END"
        if how == 8:
            return rng.choice(
                [
                    f"EXISTS ({self.select(depth - 1)})",
                    f"NOT {self.expression(depth - 1)}",
                    f"CAST({self.column()} AS INTEGER)",
                    "1",
                    "id",
                    rng.choice(["?", ":a", "?5", "1", "1"]),
                ]
            )
        return self.filled(rng.choice(CALLS).replace("{e}", rng.choice(["{c}", "{t}", "{n}"])))

    def select(self, depth: int = 2) -> str:
        rng = self.rng
        table = self.table()
        known = self.known
        columns = ", ".join(
            self.column() if rng.random() < 0.7 else self.expression(depth) for _ in range(rng.choice([1, 1, 2, 3]))
        )
        sql = f"SELECT {rng.choice(['', '', 'DISTINCT '])}{columns}"
        if rng.random() < 0.97:
            sql += f" FROM {table}"
            if rng.random() < 0.25:
                join = rng.choice(["JOIN", "LEFT JOIN", ",", "CROSS JOIN", "NATURAL JOIN", "FULL JOIN", "RIGHT JOIN"])
                sql += f" AS a {join} {self.table()}" + (
                    "" if join in (",", "NATURAL JOIN") else f" AS b ON {self.expression(1)}"
                )
        self.known = known
        if rng.random() < 0.5:
            sql += f" WHERE {self.expression(depth)}"
        if rng.random() < 0.2:
            sql += f" GROUP BY {self.column()}" + (f" HAVING {self.expression(1)}" if rng.random() < 0.4 else "")
        if rng.random() < 0.1 and depth:
            sql += f" {rng.choice(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'])} {self.select(depth - 1)}"
        if rng.random() < 0.3:
            sql += f" ORDER BY {rng.choice([self.column(), '1 DESC', 'created_at DESC', 'random()', '99'])}"
        if rng.random() < 0.5:
            sql += f" LIMIT {rng.choice(['1', '3', '0', '-1', self.number()])}" + rng.choice(
                ["", "", f" OFFSET {self.number()}"]
            )
        if rng.random() < 0.05:
            sql = f"WITH c(x) AS {rng.choice(['', 'MATERIALIZED '])}({sql}) SELECT * FROM c, c AS d"
        if rng.random() < 0.01 and depth == 2:
            sql = f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r{rng.choice(['', ' LIMIT 500', ' WHERE n < 99'])}) SELECT {rng.choice(['count(*)', 'n', 'max(n)'])} FROM r, ({sql})"
        return sql

    def insert(self) -> str:
        rng = self.rng
        head = f"{rng.choice(['INSERT', 'INSERT OR IGNORE', 'INSERT OR REPLACE', 'INSERT OR FAIL', 'REPLACE', 'INSERT OR ABORT'])} INTO {self.table()}"
        if rng.random() < 0.5:
            file = rng.choice(["'file-a'", self.text()])
            head, rows = (
                f"INSERT INTO fine_tuning_jobs (model, training_file{rng.choice(['', ', suffix', ', seed', ', metadata', ', id'])})",
                "",
            )
            rows = ", ".join(
                f"('gpt-4o-mini', {file}{', ' + self.expression(0) if head.count(',') > 1 else ''})"
                for _ in range(rng.choice([1, 1, 2, 30]))
            )
            return f"{head} VALUES {rows}{rng.choice(['', '', ' RETURNING id', ' ON CONFLICT DO NOTHING'])}"
        columns = rng.choice(
            ["", f" ({self.column()}, {self.column()})", " (id, note)", " (fine_tuned_model_checkpoint, project_id)"]
        )
        return f"{head}{columns} {rng.choice([f'VALUES ({self.expression()}, {self.expression()})', self.select(), 'DEFAULT VALUES'])}"

    def update(self) -> str:
        rng = self.rng
        change = rng.choice(
            [
                "status = 'cancelled'",
                "status = 'paused'",
                "status = 'running'",
                f"{self.column()} = {self.expression()}",
                "note = note",
            ]
        )
        table = rng.choice(["fine_tuning_jobs", "notes", self.table()])
        return f"UPDATE {rng.choice(['', '', 'OR IGNORE '])}{table} SET {change}{rng.choice(['', f' FROM {self.table()}'])} WHERE {self.expression()}"

    def delete(self) -> str:
        return f"DELETE FROM {self.rng.choice(['files', 'models', 'notes', self.table()])} WHERE {self.expression()}{self.rng.choice(['', ' RETURNING *'])}"

    def make(self) -> str:
        rng = self.rng
        name = rng.choice(["t1", "t2", "notes", "fine_tuning_jobs", "live.t3", "temp.t1", "'a b'", "main.jobs"])
        temp = rng.choice(["", "TEMP "])
        body = "; ".join(
            rng.choice([self.insert, self.update, self.delete, self.select])() for _ in range(rng.choice([1, 2]))
        )
        forms = [
            f"CREATE {temp}TABLE {rng.choice(['', 'IF NOT EXISTS '])}{name} (id INTEGER PRIMARY KEY, note CHECK ({self.expression(1)}))",
            f"CREATE {temp}TABLE {name} AS {self.select()}", f"CREATE {temp}VIEW {name} AS {self.select()}", f"DROP TABLE {self.table()}",
            f"CREATE {temp}TRIGGER {name} {rng.choice(['AFTER', 'BEFORE', 'INSTEAD OF'])} {rng.choice(['INSERT', 'UPDATE', 'DELETE'])} ON {self.table()} BEGIN {body}; END",
            f"CREATE INDEX i1 ON {self.table()} ({self.column()}, {self.expression(1)})", f"DROP VIEW {self.table()}", f"DROP TRIGGER {name}",
            f"CREATE VIRTUAL TABLE {name} USING {rng.choice([*TABLES, 'fts5(a)', 'rtree(a,b,c)', 'nothing', 'dbstat', 'ftsql_writes'])}",
            f"ALTER TABLE {self.table()} {rng.choice(['ADD COLUMN x', 'RENAME TO y', f'DROP COLUMN {self.column()}', 'RENAME id TO z'])}",
        ]  # fmt: skip
        return rng.choice(forms)

    def transaction(self) -> str:
        return self.rng.choice(
            ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "RELEASE a",
             "ROLLBACK TO a", "ROLLBACK TO b", "END", f"BEGIN; {self.insert()}; {self.rng.choice(['COMMIT', 'ROLLBACK'])}"]
        )  # fmt: skip

    def other(self) -> str:
        rng = self.rng
        file = rng.choice(
            [
                "':memory:'",
                "'new.db'",
                "''",
                "'file:new2.db?mode=rwc'",
                "'own.db'",
                "'/proc/self/nothing'",
                "'file::memory:'",
                "'train.jsonl'",
            ]
        )
        return rng.choice(
            [f"PRAGMA {rng.choice(PRAGMAS)}", f"PRAGMA {rng.choice(PRAGMAS)}", f"ATTACH {file} AS {rng.choice(['other', 'live', 'main', 'o2'])}",
             f"DETACH {rng.choice(['other', 'live', 'main', 'temp', 'o2'])}", f"VACUUM {rng.choice(['', 'live', 'other'])} INTO {file}", "VACUUM", "ANALYZE",
             "REINDEX", f"EXPLAIN {self.select()}", f"EXPLAIN QUERY PLAN {rng.choice([self.select, self.insert, self.update])()}", f"VALUES ({self.expression()}, 1), ({self.text()}, 2)",
             f"SELECT * FROM pragma_{rng.choice(['table_info', 'function_list', 'database_list', 'journal_mode', 'user_version'])}({self.text()})"]
        )  # fmt: skip

    def stackql(self) -> str:
        return self.filled(self.rng.choice(STACKQL))

    def command(self) -> str:
        """A dot command of the shell that makes no file."""
        return self.filled(self.rng.choice(DOTS))
