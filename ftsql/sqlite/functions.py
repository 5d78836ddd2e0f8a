"""The SQL functions: some act at once, such as cancel_job and upload_file, and some only read.

SQLite may call a function more often than the SQL suggests. A function with effects therefore acts once per statement
and arguments, and refuses to act in a statement that sorts and limits its rows after the call.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import apsw
from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.api.upload import Upload
from ftsql.errors import APIError, DataError, NotSupportedError, ProgrammingError
from ftsql.read import metadata_filter as metadata
from ftsql.read.files import contents_of
from ftsql.read.other_resources import OtherResources
from ftsql.resources.definitions import FILES, JOBS, is_finished
from ftsql.resources.resource import SQLiteValue, json_text
from ftsql.sqlite.bytecode import misplaced
from ftsql.sqlite.session import Session
from ftsql.sqlite.statements import EFFECTS, Statement
from ftsql.write.queue import too_many
from ftsql.write.write import Write

DROPS = re.compile(r"\bON\s+CONFLICT\b|\bOR\s+(IGNORE|REPLACE)\b", re.IGNORECASE)  # an INSERT that may drop a row
NO_EFFECT = ("file_content",)  # functions that views may call
WAIT_SECONDS = 24 * 3600.0  # how long wait_job waits, at most, if it has no second argument
Function = Callable[..., SQLiteValue]


def register(session: Session) -> None:
    """Add the functions to the session's connection. A read-only session gets only those without effects."""
    session.connection.create_scalar_function(metadata.NAME, metadata.has, 2, deterministic=True)
    for name, (function, counts) in _functions(session).items():
        for count in counts:
            flags = 0 if name in NO_EFFECT else apsw.SQLITE_DIRECTONLY
            session.connection.create_scalar_function(name, function, count, deterministic=False, flags=flags)


def unregister(session: Session) -> None:
    """Remove the functions that ``register`` added."""
    session.connection.create_scalar_function(metadata.NAME, None, 2)
    for name, (_, counts) in _functions(session).items():
        for count in counts:
            session.connection.create_scalar_function(name, None, count)


def _functions(session: Session) -> dict[str, tuple[Function, tuple[int, ...]]]:
    """Return each function by name, with the numbers of arguments that it takes."""
    functions: dict[str, tuple[Function, tuple[int, ...]]] = {
        "last_job_id": (lambda: session.last_job_id, (0,)),
        "last_jobs": (partial(_last_jobs, session), (0,)),
        "wait_job": (partial(_wait, session), (1, 2)),
        "file_content": (partial(_content, session), (1, 2)),
    }
    if not session.read_only:
        functions["create_job"] = (partial(_create, session), (2, 3))
        functions["upload_file"] = (partial(_upload, session), (1, 2, 3))
        for action in ("cancel", "pause", "resume"):
            functions[f"{action}_job"] = (partial(_act, session, action), (1, 2))
    return functions


def _act(session: Session, action: Any, id: SQLiteValue, provider: SQLiteValue = None) -> SQLiteValue:
    """cancel_job, pause_job, resume_job: Change a job and return its new status; NULL for a NULL id."""
    name = f"{action}_job"
    if id is None:
        return None

    def act() -> SQLiteValue:
        client = _job_client(session, name, id, provider)
        if action in client.account.provider.without:
            raise NotSupportedError(f"{client.account.name} has no way to {action} a job")
        write = Write(client, action, session.statement.sql, job_id=str(id))
        try:
            write.row = session.sender.send(write)
        except APIError as error:
            if error.no_such:
                raise ProgrammingError(f"{name}: no such job: {id!r:.80} ({error})") from None
            if action != "cancel" or write.row is None or not is_finished(write.row.status):
                raise
        session.update_statements(write)
        _raise_interrupt(write, f"{write.job_id} is {write.row.state} now")
        return write.row.status

    return _once(session, name, (id, provider), act)


def _create(session: Session, model: SQLiteValue, file: SQLiteValue, options: SQLiteValue = None) -> SQLiteValue:
    """create_job: Create a job at once and return its id.

    options: A JSON object of further columns, which may include the provider.
    """

    def create() -> SQLiteValue:
        values: dict[str, Any] = {"model": model, "training_file": file}
        for key, value in _options(options).items():
            if key in values:
                raise ProgrammingError(f"create_job: {key} is an argument of its own; leave it out of the options")
            values[key] = value if isinstance(value, str) else json_text(value)
        client = session.client(values.pop("provider", None), "create a job")
        present = {key: value for key, value in values.items() if value is not None}
        write = Write.create(client, present, session.statement.sql)
        write.row = session.sender.send(write)
        session.sender.mark_committed([write])
        session.update_statements(write)
        session.note_outcome(write)
        _raise_interrupt(write, f"{write.row.id} was created and stays")
        return write.row.id

    return _once(session, "create_job", (model, file, options), create)


def _upload(
    session: Session, path: SQLiteValue, purpose: SQLiteValue = None, provider: SQLiteValue = None
) -> SQLiteValue:
    """upload_file: Upload a local file at once and return its id; NULL for a NULL path."""
    if path is None:
        return None
    wanted = "fine-tune" if purpose is None else purpose
    if not isinstance(path, str) or not isinstance(wanted, str) or not re.fullmatch(r"[\w.-]{1,64}", wanted, re.ASCII):
        raise ProgrammingError("upload_file takes a path, a purpose such as 'fine-tune', and a provider")

    def upload() -> SQLiteValue:
        client = session.client(None if provider is None else str(provider), "upload a file")
        with contextlib.closing(Upload(path, {"purpose": wanted, **client.account.body()})) as body:
            request = {"filename": body.filename, "bytes": body.size, "purpose": wanted}
            sql = session.statement.sql
            write = Write(client, "upload", sql, request=request, resource=FILES, upload=body)
            try:
                write.row = session.sender.send(write)
            except APIError as error:
                if not error.ambiguous:
                    _raise_interrupt(write, f"the upload of {path!r} was broken off, and nothing was stored")
                raise
        session.sender.mark_committed([write])
        session.note_outcome(write)
        _raise_interrupt(write, f"{write.row.id} was uploaded and stays")
        return write.row.id

    return _once(session, "upload_file", (path, purpose, provider), upload)


def _content(session: Session, id: SQLiteValue, provider: SQLiteValue = None) -> SQLiteValue:
    """file_content: Return the content of a file, as TEXT if it is UTF-8, otherwise as a BLOB; NULL for a NULL id."""
    if id is None:
        return None
    cache = session.statement.cache
    accounts: Sequence[Account] = cache.accounts
    if provider is not None:
        accounts = [session.client(str(provider), "read a file").account]
    account = _account_with_file(session, accounts, id)
    content = None if account is None else contents_of(cache).get(account, str(id))
    if content is None:
        names = ", ".join(account.name for account in accounts)
        raise ProgrammingError(f"file_content: no such file at {names}: {id!r:.80}")
    if b"\0" not in content:  # many SQLite functions end a TEXT value at a NUL
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode()
    return content


def _account_with_file(session: Session, accounts: Sequence[Account], id: SQLiteValue) -> Account | None:
    """Return the account that has the file, or None if several accounts serve files and none of them has it.

    If only one account serves files, it is returned without a request. Raises NotSupportedError if no account serves
    files, and ProgrammingError if ``id`` cannot be a file id or several accounts have the file.
    """
    serving = [account for account in accounts if FILES.served_as not in account.provider.without]
    if not serving:
        raise NotSupportedError(f"{accounts[0].name} does not serve {FILES.noun}s")
    if not isinstance(id, str) or not any(account.accepts_id(id) for account in serving):
        raise ProgrammingError(f"file_content: {id!r:.80} is not a file id")
    if len(serving) > 1:
        cache = session.statement.cache
        files: OtherResources = cache.nested.setdefault(FILES.table, OtherResources(cache, FILES))
        serving = [account for account in serving if files.get(account, id) is not None]
    if len(serving) > 1:
        names = ", ".join(account.name for account in serving)
        raise ProgrammingError(
            f"file_content: several providers have {id!r} ({names}): name one of them as the second argument"
        )
    return serving[0] if serving else None


def _raise_interrupt(write: Write, what: str) -> None:
    """Raise the interrupt that came during ``write``, if there was one: the statement ends, and no more is sent."""
    if write.interrupted_by is not None:
        raise write.interrupted_by(f"interrupted: {what}")


def _options(options: SQLiteValue) -> dict[str, Any]:
    """Return the options of create_job. Raises DataError unless they are a JSON object or NULL."""
    if options is None:
        return {}
    try:
        decoded = from_json(options) if isinstance(options, str) else None
    except ValueError as error:
        raise DataError(f"create_job: the options are not valid JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise DataError("create_job: the options must be a JSON object, such as json_object('suffix', 'a')")
    return decoded


def _wait(session: Session, id: SQLiteValue, seconds: SQLiteValue = None) -> SQLiteValue:
    """wait_job: Wait until a job has finished or is paused, or ``seconds`` have passed, and return its status."""
    if id is None:
        return None
    client = _job_client(session, "wait_job", id, None)
    assert isinstance(id, str)
    limit = float(seconds) if isinstance(seconds, (int, float)) else WAIT_SECONDS
    end = time.monotonic() + limit
    pause = 1.0
    while True:
        body = client.get(f"/{id}", None, session.statement.cache).wait(session.interrupted)
        if body is None:
            raise ProgrammingError(f"wait_job: no such job: {id!r:.80}")
        row = JOBS.one(client.account.name, body, id, session.statement.cache.tell)
        session.statement.cache.update(client.account, row)
        left = end - time.monotonic()
        if is_finished(row.status) or row.status == "paused" or left <= 0:
            return row.status
        tick = time.monotonic() + min(pause, left)
        while (rest := tick - time.monotonic()) > 0:
            time.sleep(min(0.05, rest))
            if session.interrupted():
                raise apsw.InterruptError("interrupted")
        pause = min(pause * 1.5, 30.0)


def _last_jobs(session: Session) -> SQLiteValue:
    """last_jobs: Return the keys of the jobs that the last transaction created, as a JSON array.

    Raises ProgrammingError while creates are queued.
    """
    if session.queue.waiting:
        raise ProgrammingError(
            f"{session.queue.waiting} queued: COMMIT creates the jobs, and they have no ids before. ROLLBACK drops "
            "them. RETURNING needs an INSERT outside a transaction"
        )
    return json_text(session.last_jobs)


def _job_client(session: Session, name: str, id: SQLiteValue, provider: SQLiteValue) -> Client:
    """Return the client of ``provider``, or of the only provider that has the job.

    Raises ProgrammingError if ``id`` cannot be a job id, or if no provider or several providers have the job.
    """
    if not isinstance(id, str) or not any(account.accepts_id(id) for account in session.accounts):
        if session.accounts:
            raise ProgrammingError(f"{name}: {id!r:.80} is not a job id")
    elif provider is None and len(session.clients) > 1:
        return _owner(session, name, id)
    return session.client(None if provider is None else str(provider), f"call {name}")


def _owner(session: Session, name: str, id: str) -> Client:
    """Return the client of the only provider that has the job. Raises ProgrammingError unless exactly one has it."""
    cache = session.statement.cache
    owners = [account for account in session.accounts if cache.get(account, id) is not None]
    if len(owners) == 1:
        return session.clients[owners[0]]
    if not owners:
        raise ProgrammingError(f"{name}: no such job at any active provider: {id!r:.80}")
    names = ", ".join(account.name for account in owners)
    raise ProgrammingError(
        f"{name}: {id!r} is a job at several providers ({names}): name one, as in {name}('{id}', '{owners[0].name}')"
    )


def _once(
    session: Session, name: str, arguments: tuple[SQLiteValue, ...], act: Callable[[], SQLiteValue]
) -> SQLiteValue:
    """Return the result of ``act()``, which is called only once for each statement and arguments.

    Raises ProgrammingError if SQLite may call the function for rows that are not returned, if ``max_writes`` is used
    up, or if the user does not confirm a second call.
    """
    statement = session.statements.calling(name)
    key = (name, *arguments)
    if key not in statement.results:
        _check_call(session, statement, name)
        statement.sent_by_functions += 1
        session.statements.sent_by_functions += 1
        for other in [other for other in statement.results if other[0] != name and other[1] == arguments[0]]:
            del statement.results[other]  # the earlier result of another function on this job is outdated now
        statement.results[key] = act()
    return statement.results[key]


def _check_call(session: Session, statement: Statement, name: str) -> None:
    """Raise ProgrammingError if the function ``name`` may not act now: see ``_once``."""
    if session.statements.noted is not None:
        raise ProgrammingError(f"{name} was not called: the statement is run ahead of itself")
    drops = "insert" in statement.sql.lower() and DROPS.search(statement.sql) is not None
    if drops or name in misplaced(statement.program or [], EFFECTS):
        raise ProgrammingError(
            f"{name} was not called: here SQLite would call it for rows that the statement then drops. Call it alone, "
            f"on the rows that you choose: SELECT {name}(id) FROM (SELECT id … ORDER BY … LIMIT …)"
        )
    session.held_interrupt.raise_now()
    sent, limit = session.sent_by_functions(), session.settings.max_writes
    if sent + session.queue.waiting >= limit:
        raise ProgrammingError(too_many(limit, sent=sent))
    if sent == 1 and session.confirm is not None and not session.confirm(f"1 {name} was done: go on with more?"):
        raise ProgrammingError(f"not confirmed: the first {name} was done, and no more")
