"""PostgreSQL's functions about its catalog and its server, which clients call before they show a table.

In this module, the functions about one table return NULL or a constant. catalog/descriptions.py replaces some of them.
"""

from __future__ import annotations

from collections.abc import Callable

from ftsql.serve.functions.timestamps import Value

DATABASE = "ftsql"
USER = "ftsql"
VERSION = "15.0"
SETTINGS: dict[str, str] = {
    "server_version": VERSION, "server_version_num": "150000", "server_encoding": "UTF8", "client_encoding": "UTF8",
    "datestyle": "ISO, MDY", "timezone": "UTC", "intervalstyle": "postgres", "integer_datetimes": "on",
    "standard_conforming_strings": "on", "search_path": '"$user", public', "application_name": "",
    "is_superuser": "off",
    "session_authorization": USER, "transaction_isolation": "read committed", "transaction_read_only": "on",
    "default_transaction_read_only": "on", "default_transaction_isolation": "read committed", "max_index_keys": "32",
    "extra_float_digits": "1", "lc_collate": "C", "lc_ctype": "C", "lc_monetary": "C", "max_identifier_length": "63",
    "statement_timeout": "0", "row_security": "on", "in_hot_standby": "off", "bytea_output": "hex",
    "default_tablespace": "", "block_size": "8192", "max_connections": "100", "ssl": "off",
}  # fmt: skip
TYPES: dict[int, str] = {
    16: "boolean", 17: "bytea", 18: '"char"', 19: "name", 20: "bigint", 21: "smallint", 23: "integer", 24: "regproc",
    25: "text", 26: "oid", 114: "json", 700: "real", 701: "double precision", 1042: "character",
    1043: "character varying", 1082: "date", 1083: "time without time zone", 1114: "timestamp without time zone",
    1184: "timestamp with time zone", 1186: "interval", 1700: "numeric", 2205: "regclass", 2206: "regtype",
    2278: "void", 2950: "uuid", 3802: "jsonb", 1000: "boolean[]", 1002: '"char"[]', 1003: "name[]", 1005: "smallint[]",
    1007: "integer[]", 1009: "text[]", 1015: "character varying[]", 1016: "bigint[]", 1022: "double precision[]",
    1028: "oid[]", 1115: "timestamp without time zone[]", 1182: "date[]", 1185: "timestamp with time zone[]",
    1231: "numeric[]", 1034: "aclitem[]", 22: "int2vector", 30: "oidvector",
}  # fmt: skip


def format_type(oid: Value, modifier: Value = None) -> Value:
    """Return the SQL name of a type, with its length or precision."""
    if oid is None:
        return None
    try:
        number = int(oid)
    except ValueError:
        return oid
    name = TYPES.get(number, "???")
    size = int(modifier) if modifier is not None else -1
    if size >= 4 and number in (1042, 1043):
        return f"{name}({size - 4})"
    if size >= 4 and number == 1700:
        return f"{name}({(size - 4) >> 16},{(size - 4) & 0x7FF})"
    return name


def current_setting(name: Value, missing_ok: Value = None) -> Value:
    return SETTINGS.get(str(name).lower())


def encoding_name(number: Value) -> Value:
    return {0: "SQL_ASCII", 6: "UTF8", 8: "LATIN1"}.get(int(number), "") if number is not None else None


def size_pretty(size: Value) -> Value:
    if size is None:
        return None
    number, units = int(size), ["bytes", "kB", "MB", "GB", "TB", "PB"]
    unit = 0
    while abs(number) >= 10_240 and unit < len(units) - 1:
        number, unit = (number + 512) // 1024, unit + 1
    return f"{number} {units[unit]}"


def _returns(value: Value) -> Callable[..., Value]:
    return lambda *_: value


def _first(*values: Value) -> Value:
    return values[0] if values else None


CONSTANT: dict[str, Value] = {
    "version": f"PostgreSQL {VERSION} (ftsql, over SQLite)", "current_database": DATABASE, "current_catalog": DATABASE,
    "current_schema": "public", "current_schemas": '["pg_catalog","public"]', "current_user": USER, "user": USER,
    "session_user": USER, "current_role": USER, "pg_get_userbyid": USER, "pg_is_in_recovery": 0,
    "pg_backend_pid": 0, "pg_my_temp_schema": 0, "pg_is_other_temp_schema": 0, "txid_current": 1,
    "pg_total_relation_size": 0, "pg_relation_size": 0, "pg_table_size": 0, "pg_indexes_size": 0, "pg_database_size": 0,
    "pg_tablespace_size": 0, "pg_stat_get_numscans": 0, "pg_relation_filenode": 0, "inet_server_port": 0,
    "pg_relation_is_publishable": 0, "row_security_active": 0, "pg_get_partkeydef": None, "pg_relation_is_updatable": 0,
    "pg_column_is_updatable": 0, "pg_collation_is_visible": 1, "pg_opclass_is_visible": 1, "pg_operator_is_visible": 1,
}  # fmt: skip
VISIBLE = ("pg_table_is_visible", "pg_type_is_visible", "pg_function_is_visible", "pg_conversion_is_visible",
           "pg_ts_config_is_visible", "pg_ts_dict_is_visible", "pg_statistics_obj_is_visible")  # fmt: skip
NOTHING = (
    "pg_get_expr", "pg_get_indexdef", "pg_get_constraintdef", "pg_get_viewdef", "pg_get_ruledef", "pg_get_triggerdef",
    "pg_get_functiondef", "pg_get_function_result", "pg_get_function_arguments", "pg_get_function_identity_arguments",
    "pg_get_serial_sequence", "pg_get_statisticsobjdef", "pg_get_statisticsobjdef_columns", "pg_get_function_sqlbody",
    "obj_description", "col_description", "shobj_description", "pg_tablespace_location", "inet_server_addr",
    "inet_client_addr", "pg_get_partition_constraintdef", "pg_postmaster_start_time", "pg_conf_load_time",
    "pg_describe_object", "pg_identify_object", "pg_sequence_last_value", "pg_partition_root", "to_regclass",
    "to_regtype", "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn", "pg_current_wal_lsn", "field",
    "pg_get_replica_identity_index", "pg_indexam_has_property", "pg_index_column_has_property", "pg_index_has_property",
    "_pg_expandarray", "pg_size_bytes", "pg_get_multixact_members", "pg_listening_channels", "acldefault",
    "pg_stat_file", "pg_event_trigger_table_rewrite_oid", "pg_partition_ancestors", "pg_relation_filepath",
)  # fmt: skip
PRIVILEGES = ("table", "schema", "database", "column", "any_column", "sequence", "function", "type", "language",
              "tablespace", "server", "foreign_data_wrapper")  # fmt: skip


def _has_privilege(*arguments: Value) -> Value:
    """Return 1 for a privilege that a reader has, and 0 for any other. The last argument names the privilege."""
    privilege = str(arguments[-1]).upper() if arguments else ""
    return int(any(word in privilege for word in ("SELECT", "USAGE", "CONNECT", "EXECUTE")))


FUNCTIONS: dict[str, tuple[Callable[..., Value], int]] = {
    "format_type": (format_type, -1), "current_setting": (current_setting, -1),
    "pg_encoding_to_char": (encoding_name, 1), "pg_char_to_encoding": (_returns(6), 1), "set_config": (
        lambda name, value, local: value, 3), "pg_size_pretty": (size_pretty, 1), "pg_typeof": (_returns("unknown"), 1),
    "has_role": (_returns(1), -1), "pg_has_role": (_returns(1), -1), "pg_translate_collation": (_first, -1),
    **{name: (_returns(value), -1) for name, value in CONSTANT.items()},
    **dict.fromkeys(VISIBLE, (_returns(1), -1)),
    **dict.fromkeys(NOTHING, (_returns(None), -1)),
    **{f"has_{thing}_privilege": (_has_privilege, -1) for thing in PRIVILEGES},
}  # fmt: skip
