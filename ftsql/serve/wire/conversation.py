"""The conversation with one client that has logged in: the simple and the extended query protocol.

Each message gets a response, or ends the connection. A message affects only its own client's session.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlglot
from pg_mimic import messages
from sqlglot.errors import SqlglotError

from ftsql.serve import errors, types
from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits
from ftsql.serve.text import strip_blank
from ftsql.serve.wire.client_session import BoundStatement, ClientSession, PreparedStatement
from ftsql.serve.wire.portal import CHUNK, Field, format_of, parse_close, parse_declare, parse_fetch
from ftsql.serve.wire.stream import Disconnected, Stream
from ftsql.serve.wire.utility import Response


def split(text: str) -> list[str]:
    """Return the statements in ``text`` as they were written. Raise Failure if sqlglot cannot tokenize them."""
    if ";" not in text.rstrip("; \t\r\n"):
        return [text]
    try:
        tokens = sqlglot.tokenize(text, read="postgres")
    except (SqlglotError, RecursionError) as error:
        raise Failure("42601", str(error).partition("\n")[0][:200]) from None
    ends = [token.start for token in tokens if token.token_type.name == "SEMICOLON"]
    starts = [0, *(end + 1 for end in ends)]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True)]


class Conversation:
    """Reads messages until the client ends the conversation or disconnects."""

    def __init__(self, stream: Stream, session: ClientSession, limits: Limits) -> None:
        self.stream = stream
        self.session = session
        self._limits = limits
        self._prepared: dict[str, PreparedStatement] = {}
        self._portals: dict[str, BoundStatement] = {}
        self._skipping = False  # whether messages are skipped, after an error and until Sync
        self._handlers = {
            messages.QUERY: self._query,
            messages.PARSE: self._parse,
            messages.BIND: self._bind,
            messages.DESCRIBE: self._describe,
            messages.EXECUTE: self._execute,
            messages.CLOSE: self._close,
        }

    async def run(self) -> None:
        """Handle messages until the client ends the conversation.

        Raise Disconnected, and Failure after a message that leaves the stream unreadable.
        """
        while True:
            tag, body = await self.stream.read_message()
            if tag == messages.TERMINATE:
                return
            if tag == messages.FLUSH:
                await self.stream.drain()
            elif tag in (messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL):
                continue  # like PostgreSQL, ignore these messages outside COPY
            elif tag != messages.SYNC:
                if tag not in self._handlers:
                    raise Failure("08P01", f"invalid frontend message type {tag[0]}")
                if not self._skipping:
                    await self._handle(tag, body)
                    if self.stream.waiting > CHUNK:  # the client sends messages and does not read
                        await self.stream.drain()
            if tag == messages.SYNC or (tag == messages.QUERY and not self._skipping):
                self._skipping = False
                if self.session.status != b"T":
                    await self._close_portals(list(self._portals))
                self.stream.write(messages.make_ready_for_query(self.session.status))
                await self.stream.drain()

    async def _handle(self, tag: bytes, body: bytes) -> None:
        try:
            with self.session.handling_message():
                await self._handlers[tag](body)
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception as error:
            self.stream.write(errors.message(error))
            if self.session.status == b"T":
                self.session.status = b"E"
            self._skipping = tag != messages.QUERY

    # --- the simple protocol

    async def _query(self, body: bytes) -> None:
        text = _parsed(messages.parse_query, body)
        if len(text) > 2 * self._limits.text:  # splitting runs in the event loop, so other clients have to wait
            raise Failure("54000", f"a message may have at most {2 * self._limits.text:,} characters of SQL")
        statements = [statement for statement in split(text) if strip_blank(statement)]
        if not statements:
            self.stream.write(messages.make_empty_query_response())
        for statement in statements:
            prepared = await self._prepare(statement, ())
            if prepared.parameters:
                raise Failure("42P02", "there is no parameter $1")
            bound = self.session.bind(prepared, (), ())
            try:
                if (fields := await self._fields(bound)) is not None:
                    self.stream.write(_row_description(fields, ()))
                await self._run(bound, 0)
            finally:
                if bound.portal is not None:
                    await self.session.release(bound.portal)

    # --- the extended protocol

    async def _parse(self, body: bytes) -> None:
        parsed = _parsed(messages.parse_parse, body)
        if len(self._prepared) >= self._limits.prepared and parsed.statement_name not in self._prepared:
            raise Failure("53400", "too many prepared statements", hint="DEALLOCATE ALL, or close some.")
        if parsed.statement_name and parsed.statement_name in self._prepared:
            raise Failure("42P05", f'prepared statement "{parsed.statement_name}" already exists')
        if sum(len(one.text) for one in self._prepared.values()) + len(parsed.sql) > self._limits.message:
            raise Failure("53400", "the prepared statements are too long in total", hint="DEALLOCATE ALL.")
        prepared = await self._prepare(parsed.sql, [oid or None for oid in parsed.param_oids])
        self._prepared[parsed.statement_name] = prepared
        self.stream.write(messages.make_parse_complete())

    async def _bind(self, body: bytes) -> None:
        parsed = _parsed(messages.parse_bind, body)
        prepared = self._statement(parsed.statement_name)
        if len(parsed.params) != len(prepared.parameters):
            raise Failure(
                "08P01",
                f"bind message supplies {len(parsed.params)} parameters, but the statement requires "
                f"{len(prepared.parameters)}",
            )
        values = [
            None if data is None else types.parameter(oid, format_of(parsed.param_format_codes, place) == 1, data)
            for place, (oid, data) in enumerate(zip(prepared.parameters, parsed.params, strict=True))
        ]
        if len(self._portals) >= self._limits.portals and parsed.portal_name not in self._portals:
            raise Failure("53400", "too many open portals", hint="Close some, or end the transaction.")
        if parsed.portal_name and parsed.portal_name in self._portals:
            raise Failure("42P03", f'portal "{parsed.portal_name}" already exists')
        await self._close_portals([parsed.portal_name])
        held = sum(
            len(value) for one in self._portals.values() for value in one.values if isinstance(value, (str, bytes))
        )
        if held + len(body) > 2 * self._limits.message:
            raise Failure("53400", "the open portals hold too much", hint="Close some, or end the transaction.")
        self._portals[parsed.portal_name] = self.session.bind(prepared, values, parsed.result_format_codes)
        self.stream.write(messages.make_bind_complete())

    async def _describe(self, body: bytes) -> None:
        parsed = _parsed(messages.parse_describe, body)
        if parsed.kind == messages.TARGET_STATEMENT:
            prepared = self._statement(parsed.name)
            self.stream.write(messages.make_parameter_description(list(prepared.parameters)))
            fields, formats = await self.session.fields(prepared), ()
        else:
            bound = self._portal(parsed.name)
            fields, formats = await self._fields(bound), bound.formats  # type: ignore[assignment]
        self.stream.write(messages.make_no_data() if fields is None else _row_description(fields, formats))

    async def _execute(self, body: bytes) -> None:
        parsed = _parsed(messages.parse_execute, body)
        await self._run(self._portal(parsed.portal_name), max(0, parsed.max_rows))

    async def _close(self, body: bytes) -> None:
        parsed = _parsed(messages.parse_close, body)
        if parsed.kind == messages.TARGET_STATEMENT:
            self._prepared.pop(parsed.name, None)
        else:
            await self._close_portals([parsed.name])
        self.stream.write(messages.make_close_complete())

    # --- both protocols

    async def _prepare(self, text: str, given: Sequence[int | None]) -> PreparedStatement:
        prepared = await self.session.prepare(text, given)
        if prepared.word == "FETCH":
            prepared.fields = await self._fields(self._portal(parse_fetch(prepared.text)[0]))
        return prepared

    def _statement(self, name: str) -> PreparedStatement:
        if (found := self._prepared.get(name)) is None:
            raise Failure("26000", f'prepared statement "{name[:63]}" does not exist')
        return found

    def _portal(self, name: str) -> BoundStatement:
        if (found := self._portals.get(name)) is None:
            raise Failure("34000", f'portal "{name[:63]}" does not exist')
        return found

    async def _close_portals(self, names: Sequence[str]) -> None:
        for name in names:
            bound = self._portals.pop(name, None)
            if bound is not None and bound.portal is not None:
                await self.session.release(bound.portal)

    async def _fields(self, bound: BoundStatement) -> list[Field] | None:
        if bound.portal is None or bound.prepared.fields is not None:
            return bound.prepared.fields
        return await self.session.call(bound.portal.fields, bound)

    async def _run(self, bound: BoundStatement, most: int) -> None:
        prepared = bound.prepared
        if not prepared.text:
            self.stream.write(messages.make_empty_query_response())
        elif prepared.word == "DECLARE":
            await self._declare(bound)
        elif prepared.word == "FETCH":
            name, count = parse_fetch(prepared.text)
            sent = await self._send_rows(self._portal(name), count, bound.formats)
            self.stream.write(messages.make_command_complete(f"FETCH {sent}"))
        elif bound.portal is not None:
            sent = await self._send_rows(bound, most, bound.formats)
            complete = messages.make_command_complete(f"SELECT {sent}")
            self.stream.write(complete if bound.finished else messages.make_portal_suspended())
        else:
            if bound.response is None:
                bound.response = await self.session.run_utility(bound)
                await self._deallocate(prepared)
            self._send_response(bound.response)

    async def _send_rows(self, bound: BoundStatement, most: int, formats: Sequence[int]) -> int:
        """Send at most ``most`` rows (0: all), as fast as the client reads. Return how many were sent."""
        assert bound.portal is not None
        sent = 0
        while not bound.finished and (most == 0 or sent < most):
            left = most - sent if most else 0
            chunk = await self.session.call(partial(bound.portal.fetch, left, formats), bound)
            self.stream.write(chunk.data)
            await self.stream.drain()
            sent += chunk.rows
            bound.finished = chunk.finished
        return sent

    async def _declare(self, bound: BoundStatement) -> None:
        name, _ = parse_declare(bound.prepared.text)
        if self.session.status != b"T":
            raise Failure("25P01", "DECLARE CURSOR can only be used in transaction blocks")
        if name in self._portals:
            raise Failure("42P03", f'cursor "{name}" already exists')
        if len(self._portals) >= self._limits.portals:
            raise Failure("53400", "too many open cursors", hint="Close some, or end the transaction.")
        self._portals[name] = BoundStatement(bound.prepared, bound.values, (), self.session.portal(bound))
        self.stream.write(messages.make_command_complete("DECLARE CURSOR"))

    async def _deallocate(self, prepared: PreparedStatement) -> None:
        """Drop the prepared statements and portals that a DISCARD, DEALLOCATE or CLOSE names."""
        if prepared.word in ("DISCARD", "DEALLOCATE"):
            name = parse_close(prepared.text)
            self._prepared = {} if name is None else {key: one for key, one in self._prepared.items() if key != name}
        if prepared.word in ("DISCARD", "CLOSE"):
            name = parse_close(prepared.text) if prepared.word == "CLOSE" else None
            await self._close_portals(list(self._portals) if name is None else [name])

    def _send_response(self, response: Response) -> None:
        for row in response.rows:
            self.stream.write(messages.make_data_row([value.encode() for value in row]))
        self.stream.write(messages.make_command_complete(response.tag))


def _row_description(fields: Sequence[Field], formats: Sequence[int]) -> bytes:
    description: bytes = messages.make_row_description(
        [
            messages.FieldSpec(
                name=field.name.replace("\0", ""),
                oid=field.oid,
                type_size=types.BY_OID[field.oid].length,
                format_code=format_of(formats, place),
            )
            for place, field in enumerate(fields)
        ]
    )
    return description


def _parsed(parser: Callable[[bytes], Any], body: bytes) -> Any:
    """Return the fields of a message. Raise Failure if it is malformed."""
    try:
        return parser(body)
    except (struct.error, IndexError, ValueError):
        raise Failure("08P01", "malformed message") from None
