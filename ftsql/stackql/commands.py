"""StackQL's EXEC, SHOW and DESCRIBE, which SQLite does not have, as SQL.

A value of an EXEC is copied as the SQL literal that it is; it never becomes anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ftsql.api.methods import SERVICES, Entry, Method, entry, served
from ftsql.api.provider import Provider
from ftsql.errors import ProgrammingError
from ftsql.stackql.names import check_active, provider_of, unknown_provider
from ftsql.stackql.parameters import check_columns, columns, condition, refuse_parameter
from ftsql.stackql.tokens import Token, quoted

Cache = Mapping[str, Provider]

SHOWN = (
    "SHOW PROVIDERS, SHOW SERVICES IN provider, SHOW RESOURCES IN provider.service, "
    "SHOW METHODS IN provider.service.resource"
)


class _Reader:
    """Reads a command's tokens one after another."""

    def __init__(self, mine: Sequence[Token]) -> None:
        self._mine = mine
        self._next = 1

    def take(self) -> Token | None:
        self._next += 1
        return self._mine[self._next - 1] if self._next <= len(self._mine) else None

    def peek(self) -> Token | None:
        return self._mine[self._next] if self._next < len(self._mine) else None

    def skip(self, *words: str) -> bool:
        """Whether the next token is one of these; it is left behind then."""
        token = self.peek()
        if token is None or not token.says(*words):
            return False
        self._next += 1
        return True

    def names(self) -> list[str]:
        """A name of one or more parts."""
        found = []
        while (token := self.peek()) and token.name:
            found.append(token.name)
            self._next += 1
            if not self.skip("."):
                break
        return found

    def end(self, usage: str) -> None:
        """Raises ProgrammingError where something is left."""
        if token := self.peek():
            raise ProgrammingError(f"{token.text!r} was not expected here: {usage}")

    def variable(self) -> str:
        """A parameter's name after its @, which may have hyphens."""
        token = self.take()
        if token is None or token.kind != "variable" or not token.text.startswith("@") or len(token.text) < 2:
            got = repr(token.text) if token else "nothing"
            raise ProgrammingError(f"EXEC: expected a parameter such as @fine_tuning_job_id = '…', got {got}")
        name = token.text[1:]
        while self.skip("-"):
            part = self.take()
            name += f"-{part.text if part else ''}"
        return name

    def value(self, name: str) -> str:
        """A literal or a bound parameter, as written."""
        token = self.take()
        if token is not None and token.kind == "quoted" and (text := _text(token)):
            return text
        sign = ""
        if token is not None and token.says("-"):
            sign, token = "-", self.take()
        if token is None or not (token.kind in ("string", "number", "variable") or token.says("NULL", "TRUE", "FALSE")):
            raise ProgrammingError(f"EXEC: the value of @{name} is a text in quotes, a number or a bound parameter")
        if token.kind == "string" and token.text.endswith("\\'"):
            raise ProgrammingError(f"EXEC: the value of @{name} ends with a backslash, which quotes nothing: write ''")
        return sign + token.text


def _text(token: Token | None) -> str | None:
    """A text as an SQL literal; StackQL takes double quotes too, which SQLite has for names."""
    if token is not None and token.kind == "quoted" and token.text.startswith('"'):
        return quoted(token.name)
    return token.text if token is not None and token.kind == "string" else None


def command(mine: Sequence[Token], known: Cache, active: Iterable[str] | None) -> str:
    """The SQL of an EXEC, SHOW or DESCRIBE. Raises ProgrammingError."""
    reader = _Reader(mine)
    if mine[0].says("EXEC"):
        return _exec(reader, known, active)
    return _show(reader, known) if mine[0].says("SHOW") else _describe(reader, known)


def _resource(names: Sequence[str], known: Cache, usage: str) -> tuple[Provider, Entry]:
    if len(names) != 3:
        raise ProgrammingError(f"expected provider.service.resource, got {'.'.join(names) or 'nothing'}: {usage}")
    found = entry(*names[1:])
    if found is None:
        listed = ", ".join(f"{each.service}.{each.name}" for each in served())
        raise ProgrammingError(f"there is no resource {'.'.join(names)}: a provider here has {listed}")
    return _provider(names[0], known), found


def _provider(name: str, known: Cache) -> Provider:
    provider = provider_of(name, known)
    if provider is None:
        raise ProgrammingError(unknown_provider(name, known))
    return known[provider]


def _exec(reader: _Reader, known: Cache, active: Iterable[str] | None) -> str:
    usage = "EXEC provider.service.resource.method @parameter = 'value', …"
    names = reader.names()
    provider, resource = _resource(names[:-1], known, usage)
    check_active(provider.name, active)
    method = resource.method(names[-1])
    if method is None:
        listed = ", ".join(each.name for each in resource.methods)
        raise ProgrammingError(f"{'.'.join(names[:-1])} has no method {names[-1]}: it has {listed}")
    values: dict[str, str] = {}
    while reader.peek():
        name = reader.variable()
        if not reader.skip("="):
            raise ProgrammingError(f"EXEC: expected = after @{name}: {usage}")
        plain = name.lower().removeprefix("data__")
        if plain in values:
            raise ProgrammingError(f"EXEC: @{name} is given twice")
        values[plain] = reader.value(name)
        reader.skip(",")  # StackQL's own pages have it inside a comment, so it may be missing
    for name in values:
        if name not in (*method.required, *method.optional):
            refuse_parameter(name)
            listed = ", ".join(f"@{each}" for each in (*method.required, *method.optional)) or "none"
            raise ProgrammingError(f"{method.name} has no parameter @{name}: it takes {listed}")
    missing = [name for name in method.required if name not in values]
    if missing:
        raise ProgrammingError(f"{'.'.join(names)}: @{missing[0]} is missing")
    return _call(provider, resource, method, values)


def _call(provider: Provider, resource: Entry, method: Method, values: Mapping[str, str]) -> str:
    at = quoted(provider.name)
    if method.verb == "EXEC":
        # The status that the act gives, and no row that would have to be asked for again.
        id = values[method.required[0]]
        return f"SELECT id, {method.name}_job(id, {at}) AS status, {at} AS provider FROM (SELECT {id} AS id)"
    target = f"live.{resource.table}"
    if method.verb == "INSERT":
        check_columns(resource, values)
        listed = ", ".join(["provider", *values])
        return f"INSERT INTO {target} ({listed}) VALUES ({', '.join([at, *values.values()])})"
    for name in values:
        if name != "limit":
            refuse_parameter(name)
    wanted = {name: value for name, value in values.items() if name != "limit"}
    terms = [f"provider = {at}", *(condition(resource, name, value) for name, value in wanted.items())]
    if method.verb == "DELETE":
        return f"DELETE FROM {target} WHERE {' AND '.join(terms)}"
    limit = f" LIMIT CAST({values['limit']} AS INTEGER)" if "limit" in values else ""
    return f"SELECT * FROM {target} WHERE {' AND '.join(terms)}{limit}"


def _show(reader: _Reader, known: Cache) -> str:
    extended = reader.skip("EXTENDED")
    token = reader.take()
    what = token.text.upper() if token is not None else ""
    names = reader.names() if reader.skip("IN", "FROM") else []
    pattern = None
    if reader.skip("LIKE"):
        pattern = _text(reader.take())
        if pattern is None:
            raise ProgrammingError("SHOW … LIKE takes a text in quotes")
    reader.end(SHOWN)
    if what == "PROVIDERS" and not names:
        rest = "" if pattern is None else f" WHERE provider LIKE {pattern}"
        return f"SELECT provider AS name, active, base_url FROM live.ftsql_providers{rest}"
    if what == "SERVICES" and len(names) == 1:
        provider = _provider(names[0], known).name
        services = [each for each in SERVICES if any(each == one.service for one in served())]
        rows = [(f"{provider}.{service}", service, service.replace("_", " ").capitalize()) for service in services]
        return _rows(("id", "name", "title"), rows, pattern)
    if what == "RESOURCES" and len(names) == 2:
        provider = _provider(names[0], known).name
        entries = [each for each in served() if each.service == names[1].lower()]
        if not entries:
            raise ProgrammingError(f"{provider} has no service {names[1]}: it has {', '.join(SERVICES)}")
        return _rows(
            ("name", "id", "title"), [(e.name, f"{provider}.{e.service}.{e.name}", e.title) for e in entries], pattern
        )
    if what == "METHODS":
        return _methods(*_resource(names, known, SHOWN), extended=extended, pattern=pattern)
    raise ProgrammingError(f"SHOW takes one of: {SHOWN}")


def _methods(provider: Provider, resource: Entry, *, extended: bool, pattern: str | None) -> str:
    """The methods by their names of 2024, as StackQL's page lists them, then by today's."""
    methods = [method for method in resource.methods if not method.is_lacked_by(provider)]
    rows = [
        (method.former, ", ".join(method.former_required), method.verb, f"{method.http} {method.path}")
        for method in methods
        if method.former
    ]
    rows += [(each.name, ", ".join(each.required), each.verb, f"{each.http} {each.path}") for each in methods]
    names = ("MethodName", "RequiredParams", "SQLVerb", "description")
    return _rows(names if extended else names[:3], [row if extended else row[:3] for row in rows], pattern)


def _rows(names: Sequence[str], rows: Sequence[Sequence[str]], pattern: str | None) -> str:
    """A SELECT that gives ``rows``; ``pattern`` is LIKE's for the column that holds the name."""
    nothing = f"SELECT {', '.join(f'NULL AS column{number}' for number, _ in enumerate(names, 1))} WHERE 0"
    values = "VALUES " + ", ".join(f"({', '.join(map(quoted, row))})" for row in rows) if rows else nothing
    shown = ", ".join(f"column{number} AS {name}" for number, name in enumerate(names, 1))
    if pattern is None:
        return f"SELECT {shown} FROM ({values})"
    key = next(number for number, name in enumerate(names, 1) if name in ("name", "MethodName"))
    return f"SELECT {shown} FROM ({values}) WHERE column{key} LIKE {pattern}"


def _describe(reader: _Reader, known: Cache) -> str:
    usage = "DESCRIBE [EXTENDED] provider.service.resource"
    if reader.skip("METHOD"):
        raise ProgrammingError("DESCRIBE METHOD is not here: SELECT * FROM ftsql_methods says what each method takes")
    extended = reader.skip("EXTENDED")
    _, resource = _resource(reader.names(), known, usage)
    reader.end(usage)
    return columns(resource, extended=extended)
