"""Translates StackQL's EXEC, SHOW and DESCRIBE, which SQLite does not have, into SQL.

A value in an EXEC must be an SQL literal or a bound parameter, and is copied unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ftsql.api.methods import SERVICES, Entry, Method, entry, served
from ftsql.api.provider import Provider
from ftsql.errors import ProgrammingError
from ftsql.stackql.names import check_active, check_columns, check_supported, find_provider, unknown_provider_message
from ftsql.stackql.tokens import Token, sql_string

Providers = Mapping[str, Provider]

EXEC_USAGE = "EXEC provider.service.resource.method @parameter = 'value', …"
SHOW_USAGE = (
    "SHOW PROVIDERS, SHOW SERVICES IN provider, SHOW RESOURCES IN provider.service, "
    "SHOW METHODS IN provider.service.resource"
)
DESCRIBE_USAGE = "DESCRIBE [EXTENDED] provider.service.resource"


def translate_command(tokens: Sequence[Token], providers: Providers, active: Iterable[str] | None) -> str:
    """Return the SQL of an EXEC, SHOW or DESCRIBE. Raises ProgrammingError if the command is wrong."""
    reader = _Reader(tokens)
    if tokens[0].matches("EXEC"):
        return _translate_exec(reader, providers, active)
    return _translate_show(reader, providers) if tokens[0].matches("SHOW") else _translate_describe(reader, providers)


class _Reader:
    """Reads a command's tokens one after another, beginning with the second."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._next = 1

    def take(self) -> Token | None:
        """Return the next token and advance, or return None at the end."""
        self._next += 1
        return self._tokens[self._next - 1] if self._next <= len(self._tokens) else None

    def peek(self) -> Token | None:
        """Return the next token without advancing, or None at the end."""
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def accept(self, *words: str) -> bool:
        """Return whether the next token is one of ``words``, and advance if it is."""
        token = self.peek()
        if token is None or not token.matches(*words):
            return False
        self._next += 1
        return True

    def names(self) -> list[str]:
        """Read a dotted name and return its parts."""
        parts = []
        while (token := self.peek()) and token.name:
            parts.append(token.name)
            self._next += 1
            if not self.accept("."):
                break
        return parts

    def expect_end(self, usage: str) -> None:
        """Raise ProgrammingError if tokens are left."""
        if token := self.peek():
            raise ProgrammingError(f"unexpected {token.text!r}: {usage}")

    def parameter(self) -> str:
        """Read a parameter and return its name without the @. A name may contain hyphens."""
        token = self.take()
        if token is None or token.kind != "variable" or not token.text.startswith("@") or len(token.text) < 2:
            found = repr(token.text) if token else "nothing"
            raise ProgrammingError(f"EXEC: expected a parameter such as @fine_tuning_job_id = '…', got {found}")
        name = token.text[1:]
        while self.accept("-"):
            part = self.take()
            name += f"-{part.text if part else ''}"
        return name

    def value(self, parameter: str) -> str:
        """Read a literal or a bound parameter and return it as SQL."""
        token = self.take()
        if token is not None and token.kind == "quoted" and (string := _string_literal(token)):
            return string
        sign = ""
        if token is not None and token.matches("-"):
            sign, token = "-", self.take()
        if token is None or not _is_value(token):
            raise ProgrammingError(
                f"EXEC: the value of @{parameter} must be a quoted string, a number or a bound parameter"
            )
        if token.kind == "string" and token.text.endswith("\\'"):
            raise ProgrammingError(
                f"EXEC: the value of @{parameter} ends with a backslash, which escapes nothing: write ''"
            )
        return sign + token.text


def _is_value(token: Token) -> bool:
    """Whether the token may be a value of EXEC: a literal or a bound parameter."""
    return token.kind in ("string", "number", "variable") or token.matches("NULL", "TRUE", "FALSE")


def _string_literal(token: Token | None) -> str | None:
    """Return a string token as an SQL literal, or None for any other token.

    StackQL also accepts strings in double quotes, which SQLite uses for names.
    """
    if token is not None and token.kind == "quoted" and token.text.startswith('"'):
        return sql_string(token.name)
    return token.text if token is not None and token.kind == "string" else None


def _find_resource(names: Sequence[str], providers: Providers, usage: str) -> tuple[Provider, Entry]:
    """Return the provider and the resource that ``names`` stands for. Raises ProgrammingError if there are none."""
    name = ".".join(names)
    if len(names) != 3:
        raise ProgrammingError(f"expected provider.service.resource, got {name or 'nothing'}: {usage}")
    resource = entry(*names[1:])
    if resource is None:
        listed = ", ".join(f"{each.service}.{each.name}" for each in served())
        raise ProgrammingError(f"unknown resource {name}; a provider has {listed}")
    return _find_provider(names[0], providers), resource


def _find_provider(name: str, providers: Providers) -> Provider:
    provider = find_provider(name, providers)
    if provider is None:
        raise ProgrammingError(unknown_provider_message(name, providers))
    return providers[provider]


def _translate_exec(reader: _Reader, providers: Providers, active: Iterable[str] | None) -> str:
    names = reader.names()
    provider, resource = _find_resource(names[:-1], providers, EXEC_USAGE)
    check_active(provider.name, active)
    method = resource.method(names[-1])
    if method is None:
        listed = ", ".join(each.name for each in resource.methods)
        raise ProgrammingError(f"{'.'.join(names[:-1])} has no method {names[-1]}: it has {listed}")
    values = _read_values(reader)
    _check_values(values, method, ".".join(names))
    return _call_method(provider, resource, method, values)


def _read_values(reader: _Reader) -> dict[str, str]:
    """Read the parameters of an EXEC and return the SQL of each value."""
    values: dict[str, str] = {}
    while reader.peek():
        written = reader.parameter()
        if not reader.accept("="):
            raise ProgrammingError(f"EXEC: expected = after @{written}: {EXEC_USAGE}")
        name = written.lower().removeprefix("data__")
        if name in values:
            raise ProgrammingError(f"EXEC: @{written} occurs twice")
        values[name] = reader.value(written)
        reader.accept(",")  # the comma is optional, because on StackQL's own pages it is inside a comment
    return values


def _check_values(values: Mapping[str, str], method: Method, name: str) -> None:
    """Raise ProgrammingError if the method does not take one of the parameters, or if a required one is missing."""
    taken = (*method.required, *method.optional)
    for parameter in values:
        if parameter not in taken:
            check_supported(parameter)
            listed = ", ".join(f"@{each}" for each in taken) or "none"
            raise ProgrammingError(f"{method.name} has no parameter @{parameter}: it takes {listed}")
    missing = next((parameter for parameter in method.required if parameter not in values), None)
    if missing is not None:
        raise ProgrammingError(f"{name}: @{missing} is missing")


def _call_method(provider: Provider, resource: Entry, method: Method, values: Mapping[str, str]) -> str:
    """Return the SQL that has the same effect as the method."""
    provider_name = sql_string(provider.name)
    target = f"live.{resource.table}"
    if method.verb == "EXEC":
        # The status comes from the function's result, because reading the job's row would cost another request.
        id = values[method.required[0]]
        return (
            f"SELECT id, {method.name}_job(id, {provider_name}) AS status, {provider_name} AS provider "
            f"FROM (SELECT {id} AS id)"
        )
    if method.verb == "INSERT":
        check_columns(resource, values)
        columns = ", ".join(["provider", *values])
        return f"INSERT INTO {target} ({columns}) VALUES ({', '.join([provider_name, *values.values()])})"
    conditions = [f"provider = {provider_name}"]
    for parameter, value in values.items():
        if parameter != "limit":
            check_supported(parameter)
            conditions.append(_condition(resource, parameter, value))
    where = " AND ".join(conditions)
    if method.verb == "DELETE":
        return f"DELETE FROM {target} WHERE {where}"
    limit = f" LIMIT CAST({values['limit']} AS INTEGER)" if "limit" in values else ""
    return f"SELECT * FROM {target} WHERE {where}{limit}"


def _condition(resource: Entry, parameter: str, value: str) -> str:
    """Return the SQL condition for a parameter and its value."""
    if parameter == "metadata":
        return f"metadata_has(metadata, {value})"
    return f"{resource.parameters.get(parameter, parameter)} = {value}"


def _translate_show(reader: _Reader, providers: Providers) -> str:
    extended = reader.accept("EXTENDED")
    token = reader.take()
    what = token.text.upper() if token is not None else ""
    names = reader.names() if reader.accept("IN", "FROM") else []
    pattern = _read_pattern(reader)
    reader.expect_end(SHOW_USAGE)
    if what == "METHODS":
        return _show_methods(*_find_resource(names, providers, SHOW_USAGE), extended=extended, pattern=pattern)
    match what, names:
        case "PROVIDERS", []:
            where = "" if pattern is None else f" WHERE provider LIKE {pattern}"
            return f"SELECT provider AS name, active, base_url FROM live.ftsql_providers{where}"
        case "SERVICES", [provider]:
            return _show_services(_find_provider(provider, providers), pattern)
        case "RESOURCES", [provider, service]:
            return _show_resources(_find_provider(provider, providers), service, pattern)
    raise ProgrammingError(f"SHOW takes one of: {SHOW_USAGE}")


def _read_pattern(reader: _Reader) -> str | None:
    """Read LIKE and its pattern, and return the pattern as SQL. Return None if the next token is not LIKE."""
    if not reader.accept("LIKE"):
        return None
    pattern = _string_literal(reader.take())
    if pattern is None:
        raise ProgrammingError("SHOW … LIKE takes a quoted string")
    return pattern


def _show_services(provider: Provider, pattern: str | None) -> str:
    services = [service for service in SERVICES if any(service == each.service for each in served())]
    rows = [(f"{provider.name}.{service}", service, service.replace("_", " ").capitalize()) for service in services]
    return _select_rows(("id", "name", "title"), rows, pattern)


def _show_resources(provider: Provider, service: str, pattern: str | None) -> str:
    resources = [each for each in served() if each.service == service.lower()]
    if not resources:
        raise ProgrammingError(f"{provider.name} has no service {service}: it has {', '.join(SERVICES)}")
    rows = [(each.name, f"{provider.name}.{each.service}.{each.name}", each.title) for each in resources]
    return _select_rows(("name", "id", "title"), rows, pattern)


def _show_methods(provider: Provider, resource: Entry, *, extended: bool, pattern: str | None) -> str:
    """Return a SELECT of the methods, first under their names of 2024, and then under today's names.

    The former are in the order of StackQL's page.
    """
    methods = [method for method in resource.methods if not method.is_lacked_by(provider)]
    rows = [
        (method.former, ", ".join(method.former_required), method.verb, f"{method.http} {method.path}")
        for method in methods
        if method.former
    ]
    rows += [(each.name, ", ".join(each.required), each.verb, f"{each.http} {each.path}") for each in methods]
    names = ("MethodName", "RequiredParams", "SQLVerb", "description")
    return _select_rows(names if extended else names[:3], [row if extended else row[:3] for row in rows], pattern)


def _select_rows(names: Sequence[str], rows: Sequence[Sequence[str]], pattern: str | None) -> str:
    """Return a SELECT of ``rows``. If ``pattern`` is given, it returns only rows whose name is LIKE ``pattern``."""
    nothing = f"SELECT {', '.join(f'NULL AS column{number}' for number, _ in enumerate(names, 1))} WHERE 0"
    values = "VALUES " + ", ".join(f"({', '.join(map(sql_string, row))})" for row in rows) if rows else nothing
    shown = ", ".join(f"column{number} AS {name}" for number, name in enumerate(names, 1))
    if pattern is None:
        return f"SELECT {shown} FROM ({values})"
    key = next(number for number, name in enumerate(names, 1) if name in ("name", "MethodName"))
    return f"SELECT {shown} FROM ({values}) WHERE column{key} LIKE {pattern}"


def _translate_describe(reader: _Reader, providers: Providers) -> str:
    if reader.accept("METHOD"):
        raise ProgrammingError(
            "DESCRIBE METHOD is not supported: SELECT * FROM ftsql_methods shows what each method takes"
        )
    extended = reader.accept("EXTENDED")
    _, resource = _find_resource(reader.names(), providers, DESCRIBE_USAGE)
    reader.expect_end(DESCRIBE_USAGE)
    return _describe_columns(resource, extended=extended)


def _describe_columns(resource: Entry, *, extended: bool) -> str:
    """Return the SELECT for DESCRIBE. The fields on StackQL's page of 2024 come first, and then the newer fields."""
    arrays = ", ".join(map(sql_string, resource.arrays)) or "NULL"
    newer = ", ".join(map(sql_string, resource.newer)) or "NULL"
    return (
        "SELECT column_name AS name, CASE type WHEN 'TEXT' THEN 'string' WHEN 'JSON' THEN "
        f"iif(column_name IN ({arrays}), 'array', 'object') ELSE lower(type) END AS type"
        f"{', description' if extended else ''} FROM live.ftsql_columns "
        f"WHERE table_name = {sql_string(resource.table)} AND NOT hidden ORDER BY column_name IN ({newer}), position"
    )
