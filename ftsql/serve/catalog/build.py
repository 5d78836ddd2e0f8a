"""The catalog: pg_catalog and information_schema as two SQLite databases with the rows that PostgreSQL would have.

The catalog describes only tables and views. unknown.py handles requests for other objects.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources as packaged
from typing import Any

import apsw

from ftsql.serve import types
from ftsql.serve.catalog.relations import LIVE, PUBLIC, Relation

SCHEMAS = ("pg_catalog", "information_schema")
DATABASE = "ftsql"
OWNER = 10
NAMESPACES = {"pg_catalog": 11, PUBLIC: 2200, "information_schema": 13207, LIVE: 16384}
FIXED = {"pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_class": 1259, "pg_authid": 1260}
FIXED |= {"pg_database": 1262, "pg_constraint": 2606, "pg_description": 2609, "pg_namespace": 2615, "pg_am": 2601}
SETTINGS = {
    "application_name": "", "block_size": "8192", "bytea_output": "hex", "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY", "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
    "extra_float_digits": "1", "integer_datetimes": "on", "IntervalStyle": "postgres", "is_superuser": "off",
    "lc_collate": "C", "lc_ctype": "C", "max_identifier_length": "63", "max_index_keys": "32",
    "search_path": "public", "server_encoding": "UTF8", "server_version": "15.0", "server_version_num": "150000",
    "session_authorization": DATABASE, "standard_conforming_strings": "on", "statement_timeout": "0",
    "TimeZone": "UTC", "transaction_isolation": "serializable", "transaction_read_only": "on",
}  # fmt: skip
# SQLite gets a column of one of these PostgreSQL types with the type that DECLARED has for the PostgreSQL type. For
# most of them, SQLite would otherwise choose a numeric affinity. ``char`` and ``varchar`` have TEXT affinity anyway;
# ``char`` is in quotes because types.py takes ``char`` without quotes for text.
DECLARED = {"char": '"char"', "name": "TEXT", "varchar": "TEXT", "anyarray": "TEXT", "xid": "TEXT", "regproc": "TEXT"}
DECLARED |= {"timestamptz": "TIMESTAMPTZ_TEXT", "int2vector": "TEXT", "oidvector": "TEXT", "inet": "TEXT"}

Row = dict[str, Any]


def defined() -> dict[str, list[tuple[str, str]]]:
    """Return the columns of each table of the catalog, with their types, by the table's name with its schema."""
    found = {}
    for line in (packaged.files("ftsql.serve") / "catalog.txt").read_text("utf-8").splitlines():
        name, _, columns = line.partition(": ")
        found[name] = [(column, kind) for column, kind in (part.split() for part in columns.split(", "))]
    return found


DEFINED = defined()
TYPED = {
    name: [(column, f"{kind[1:]}[]" if kind.startswith("_") else kind) for column, kind in columns]
    for name, columns in DEFINED.items()
}


def build(relations: Sequence[Relation]) -> dict[str, bytes]:
    """Return the content of both databases, by schema, for ``apsw.Connection.deserialize``."""
    rows: dict[str, list[Row]] = {}
    for name, row in (*_server(), *_relations(relations), *_keys(relations), *_standard(relations)):
        rows.setdefault(name, []).append(row)
    return {schema: _database(schema, rows) for schema in SCHEMAS}


def _database(schema: str, rows: dict[str, list[Row]]) -> bytes:
    db = apsw.Connection(":memory:")
    db.pragma("page_size", 512)  # small, because each client has a copy, and each table takes at least a page
    with db:
        for full, columns in DEFINED.items():
            inside, _, table = full.partition(".")
            if inside == schema:
                declared = ", ".join(f'"{name}" {DECLARED.get(kind, kind)}' for name, kind in columns)
                db.execute(f'CREATE TABLE "{table}" ({declared})')
                for row in rows.get(table, ()):
                    names = ", ".join(f'"{name}"' for name in row)
                    values = tuple(row.values())
                    db.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', values)
    content = db.serialize("main")
    db.close()
    return content


def oid(schema: str, name: str) -> int:
    """Return the oid of a relation, which is the same in every session."""
    return FIXED.get(name, 0) or 20_000 + zlib.crc32(f"{schema}.{name}".encode()) % 2**30


def _server() -> Iterator[tuple[str, Row]]:
    for name, number in NAMESPACES.items():
        yield "pg_namespace", {"oid": number, "nspname": name, "nspowner": OWNER}
        yield "schemata", {"catalog_name": DATABASE, "schema_name": name, "schema_owner": DATABASE}
    for type in types.TYPES:
        stem = "array" if type.name.startswith("_") else type.name
        kind = "p" if type.category in "PX" else "b"
        yield (
            "pg_type",
            {
                "oid": type.oid, "typname": type.name, "typnamespace": 11, "typowner": OWNER, "typlen": type.length,
                "typbyval": int(0 < type.length <= 8), "typtype": kind, "typcategory": type.category,
                "typispreferred": 0, "typisdefined": 1, "typdelim": ",", "typrelid": 0, "typelem": type.element,
                "typarray": type.array, "typinput": f"{stem}_in" if "_" in stem or stem == "array" else f"{stem}in",
                "typoutput": f"{stem}out", "typreceive": f"{stem}recv", "typsend": f"{stem}send", "typnotnull": 0,
                "typbasetype": 0, "typtypmod": -1, "typndims": 0, "typalign": "i", "typstorage": "p",
                "typcollation": 100 if type.category == "S" else 0,
            },
        )  # fmt: skip
    yield (
        "pg_database",
        {
            "oid": 5, "datname": DATABASE, "datdba": OWNER, "encoding": 6, "datlocprovider": "c", "datistemplate": 0,
            "datallowconn": 1, "datconnlimit": -1, "dattablespace": 1663, "datcollate": "C", "datctype": "C",
        },
    )  # fmt: skip
    role = {"rolname": DATABASE, "rolsuper": 0, "rolinherit": 1, "rolcreaterole": 0, "rolcreatedb": 0}
    role |= {"rolcanlogin": 1, "rolreplication": 0, "rolconnlimit": -1, "rolbypassrls": 0, "oid": OWNER}
    yield "pg_roles", role
    yield "pg_authid", role
    yield "pg_user", {"usename": DATABASE, "usesysid": OWNER, "usecreatedb": 0, "usesuper": 0}
    yield "pg_am", {"oid": 2, "amname": "heap", "amtype": "t", "amhandler": "heap_tableam_handler"}
    yield "pg_am", {"oid": 403, "amname": "btree", "amtype": "i", "amhandler": "bthandler"}
    yield "pg_tablespace", {"oid": 1663, "spcname": "pg_default", "spcowner": OWNER}
    for number, name in ((100, "default"), (950, "C")):
        row = {"oid": number, "collname": name, "collnamespace": 11, "collowner": OWNER, "collencoding": -1}
        yield "pg_collation", {**row, "collprovider": "d", "collisdeterministic": 1}
    for name, value in SETTINGS.items():
        row = {"setting": value, "vartype": "string", "context": "user", "source": "default", "short_desc": ""}
        yield "pg_settings", {"name": name, **row, "reset_val": value, "boot_val": value, "category": "ftsql"}
    yield "information_schema_catalog_name", {"catalog_name": DATABASE}
    yield "enabled_roles", {"role_name": DATABASE}
    yield "pg_timezone_names", {"name": "UTC", "abbrev": "UTC", "utc_offset": "00:00:00", "is_dst": 0}


def _class(schema: str, name: str, kind: str, columns: int, **more: Any) -> tuple[str, Row]:
    row = {
        "oid": oid(schema, name), "relname": name, "relnamespace": NAMESPACES[schema], "reltype": 0, "reloftype": 0,
        "relowner": OWNER, "relam": {"r": 2, "i": 403}.get(kind, 0), "relfilenode": 0, "reltablespace": 0,
        "relpages": 0, "reltuples": -1.0, "relallvisible": 0, "reltoastrelid": 0, "relhasindex": 0, "relisshared": 0,
        "relpersistence": "p", "relkind": kind, "relnatts": columns, "relchecks": 0, "relhasrules": int(kind == "v"),
        "relhastriggers": 0, "relhassubclass": 0, "relrowsecurity": 0, "relforcerowsecurity": 0,
        "relacl": f"{{{DATABASE}=r/{DATABASE}}}",
        "relispopulated": 1, "relreplident": "d" if kind == "r" else "n", "relispartition": 0, "relrewrite": 0,
    }  # fmt: skip
    return "pg_class", {**row, **more}


def _relations(relations: Iterable[Relation]) -> Iterator[tuple[str, Row]]:
    for full, columns in DEFINED.items():
        schema, _, name = full.partition(".")
        yield _class(schema, name, "r" if schema == "pg_catalog" else "v", len(columns))
    for relation in relations:
        number = oid(relation.schema, relation.name)
        indexed = int(not relation.is_view and any(column.key for column in relation.columns))
        yield _class(
            relation.schema, relation.name, "v" if relation.is_view else "r", len(relation.columns), relhasindex=indexed
        )
        for position, column in enumerate(relation.columns, 1):
            known = types.BY_OID[column.oid]
            yield (
                "pg_attribute",
                {
                    "attrelid": number, "attname": column.name, "atttypid": column.oid, "attstattarget": -1,
                    "attlen": known.length, "attnum": position, "attndims": int(bool(known.element)), "attcacheoff": -1,
                    "atttypmod": -1, "attbyval": int(0 < known.length <= 8), "attalign": "i", "attstorage": "p",
                    "attcompression": "", "attnotnull": int(column.required or column.key > 0), "atthasdef": 0,
                    "atthasmissing": 0, "attidentity": "", "attgenerated": "", "attisdropped": 0, "attislocal": 1,
                    "attinhcount": 0, "attcollation": 100 if known.category == "S" else 0,
                },
            )  # fmt: skip
            if column.comment:
                row = {"objoid": number, "classoid": FIXED["pg_class"], "objsubid": position}
                yield "pg_description", {**row, "description": column.comment}


def _keys(relations: Iterable[Relation]) -> Iterator[tuple[str, Row]]:
    """Yield the rows about primary keys, the only constraints in the catalog."""
    for relation in relations:
        positions = sorted((column.key, position) for position, column in enumerate(relation.columns, 1) if column.key)
        if relation.is_view or not positions:
            continue
        name, table = f"{relation.name}_pkey", oid(relation.schema, relation.name)
        index, numbers = oid(relation.schema, name), [position for _, position in positions]
        count = len(numbers)
        yield _class(relation.schema, name, "i", count)
        yield (
            "pg_index",
            {
                "indexrelid": index, "indrelid": table, "indnatts": count, "indnkeyatts": count, "indisunique": 1,
                "indnullsnotdistinct": 0, "indisprimary": 1, "indisexclusion": 0, "indimmediate": 1,
                "indisclustered": 0, "indisvalid": 1, "indcheckxmin": 0, "indisready": 1, "indislive": 1,
                "indisreplident": 0, "indkey": " ".join(map(str, numbers)), "indcollation": " ".join("0" * count),
                "indclass": " ".join("0" * count), "indoption": " ".join("0" * count),
            },
        )  # fmt: skip
        yield (
            "pg_constraint",
            {
                "oid": index + 1, "conname": name, "connamespace": NAMESPACES[relation.schema], "contype": "p",
                "condeferrable": 0, "condeferred": 0, "convalidated": 1, "conrelid": table, "contypid": 0,
                "conindid": index, "conparentid": 0, "confrelid": 0, "conislocal": 1, "coninhcount": 0,
                "connoinherit": 1, "conkey": f"[{','.join(map(str, numbers))}]",  # SQLite holds arrays as JSON
            },
        )  # fmt: skip
        where = {"constraint_catalog": DATABASE, "constraint_schema": relation.schema, "constraint_name": name}
        where |= {"table_catalog": DATABASE, "table_schema": relation.schema, "table_name": relation.name}
        yield "table_constraints", {**where, "constraint_type": "PRIMARY KEY", "is_deferrable": "NO"}
        for order, position in enumerate(numbers, 1):
            column = {"column_name": relation.columns[position - 1].name}
            yield "key_column_usage", {**where, **column, "ordinal_position": order}
            yield "constraint_column_usage", {**where, **column}


def _standard(relations: Iterable[Relation]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of information_schema, and of the similar views in pg_catalog, such as pg_tables."""
    for relation in relations:
        where = {"table_catalog": DATABASE, "table_schema": relation.schema, "table_name": relation.name}
        kind = "VIEW" if relation.is_view else "BASE TABLE"
        yield "tables", {**where, "table_type": kind, "is_insertable_into": "NO", "is_typed": "NO"}
        granted = {"grantor": DATABASE, "grantee": DATABASE, "privilege_type": "SELECT", "is_grantable": "NO"}
        yield "table_privileges", {**where, **granted}
        yield "role_table_grants", {**where, **granted}
        if relation.is_view:
            yield "views", {**where, "view_definition": relation.sql, "is_updatable": "NO"}
            named = {
                "schemaname": relation.schema,
                "viewname": relation.name,
                "viewowner": DATABASE,
                "definition": relation.sql,
            }
            yield "pg_views", named
        else:
            row = {"schemaname": relation.schema, "tablename": relation.name, "tableowner": DATABASE, "hasindexes": 0}
            yield "pg_tables", {**row, "hasrules": 0, "hastriggers": 0, "rowsecurity": 0}
        for position, column in enumerate(relation.columns, 1):
            known = types.BY_OID[column.oid]
            yield (
                "columns",
                {
                    **where, "column_name": column.name, "ordinal_position": position,
                    "is_nullable": "NO" if column.required or column.key else "YES",
                    "data_type": "ARRAY" if known.element else _long(column.oid), "udt_catalog": DATABASE,
                    "udt_schema": "pg_catalog", "udt_name": known.name, "dtd_identifier": str(position),
                    "is_self_referencing": "NO", "is_identity": "NO", "is_generated": "NEVER", "is_updatable": "NO",
                    "numeric_precision": {types.INT8: 64, types.INT4: 32, types.INT2: 16}.get(column.oid),
                    "numeric_scale": 0 if column.oid in types.INTEGERS else None,
                },
            )  # fmt: skip


def _long(oid: int) -> str:
    return {types.TIMESTAMP: "timestamp without time zone", types.TIMESTAMPTZ: "timestamp with time zone"}.get(
        oid, types.sql_name(oid)
    )
