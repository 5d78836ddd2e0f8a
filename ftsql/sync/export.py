"""``ftsql export``: the contents of files out of an archive, as they were, byte for byte; and whether it is whole."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

import apsw

from ftsql.api.download import PIECE
from ftsql.errors import DataError, ProgrammingError
from ftsql.resources.definitions import FILES, JOBS
from ftsql.sync import tables as layout
from ftsql.sync.archive import WANTED, digest, printable
from ftsql.sync.tables import short

Found = tuple[int, str, str, str]  # rowid, provider, id and sha256
NAME = 150  # bytes of a file's name
DAMAGED = "its content is damaged"
Say = Callable[[str], None]


def export(words: Sequence[str], say: Say) -> int:
    """``ftsql export FILE ID [ID …] [-o PATH]``, ``--all -o DIRECTORY`` and ``--check``. Return the exit code.

    Raises ProgrammingError for what is no archive, has no such content or cannot be written, DataError for a content
    that is damaged.
    """
    parser = argparse.ArgumentParser(
        prog="ftsql export", description="Write the contents of files out of an archive (ftsql sync FILE --contents)."
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="the archive")
    add("ids", nargs="*", metavar="ID", help="a file's id, or PROVIDER/ID where several providers have it")
    add("-o", dest="path", metavar="PATH", help="where to write it (stdout); for several files a directory")
    add("--all", action="store_true", help="all of them, into the directory of -o")
    add("--force", action="store_true", help="write over files that are there")
    add("--check", action="store_true", help="write nothing: check all contents, and say what the archive lacks")
    given = parser.parse_intermixed_args(words)
    if [bool(given.ids), given.all, given.check].count(True) != 1 or (given.check and given.path):
        parser.error("say: ftsql export FILE ID -o PATH, ftsql export FILE --all -o DIRECTORY, or FILE --check")
    several = given.all or len(given.ids) > 1
    if several and given.path is None:
        parser.error("several files go into a directory: -o DIRECTORY")
    with contextlib.closing(_opened(given.file, writes=given.check)) as db:
        if given.check:
            return _check(db, given.file, say)
        found = [_found(db, given.file, id) for id in given.ids]
        if given.all:
            every: Any = db.execute(
                "SELECT rowid, provider, id, sha256 FROM main.file_contents ORDER BY 2, 3"
            ).fetchall()
            found = every
        if given.path is None:
            _copy(db, found[0], sys.stdout.buffer)
            return 0
        try:
            if several:
                os.makedirs(given.path, exist_ok=True)
            if os.path.isdir(given.path):
                _into(db, given.path, found, given.file, say, force=given.force)
            else:
                _write(db, found[0], given.path, given.file, force=given.force)
                say(f"{given.path}: {os.path.getsize(given.path):,} bytes")
        except OSError as error:
            raise ProgrammingError(f"cannot write to {given.path}: {error.strerror}") from None
    return 0


def _opened(path: str, *, writes: bool) -> apsw.Connection:
    """The archive. Raises ProgrammingError for what is none."""
    if not os.path.isfile(path):
        raise ProgrammingError(f"there is no file {path}")
    uri = "file:" + quote(os.path.abspath(path))
    try:
        db = _connection(uri, "rw") if writes and os.access(path, os.W_OK) else _connection(uri, "ro")
    except apsw.Error as error:
        if os.path.exists(f"{path}-wal"):
            raise ProgrammingError(f"{path} cannot be read, for its log {path}-wal cannot ({error})") from None
        try:
            db = _connection(uri, "ro&immutable=1")  # on a medium where no log can be made
        except apsw.Error:
            raise ProgrammingError(f"{path} cannot be read: {error}") from None
    if layout.is_archive(db):
        return db
    db.close()
    raise ProgrammingError(f"{path} has no contents of files: ftsql sync {path} --contents brings them")


def _connection(uri: str, mode: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE if mode == "rw" else apsw.SQLITE_OPEN_READONLY
    db = apsw.Connection(f"{uri}?mode={mode}", flags=apsw.SQLITE_OPEN_URI | flags)
    try:
        db.set_busy_timeout(5000)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.Error:
        db.close()
        raise
    return db


def _found(db: apsw.Connection, path: str, id: str) -> Found:
    listed: Any = db.execute(
        "SELECT rowid, provider, id, sha256 FROM main.file_contents WHERE id = ?1 OR provider || '/' || id = ?1", (id,)
    ).fetchall()
    if len({sha for _, _, _, sha in listed}) > 1:
        keys = " or ".join(f"{provider}/{id}" for _, provider, id, _ in listed)
        raise ProgrammingError(f"several providers have a file {id}: say {keys}")
    if listed:
        found: Found = listed[0]
        return found
    raise ProgrammingError(f"{path} has no content of {id}{_reason(db, path, id)}")


def _reason(db: apsw.Connection, path: str, id: str) -> str:
    """Why there is no content of ``id``, and what to do."""
    names = (id, id.partition("/")[2] or id)

    def first(sql: str) -> Any:
        found: Any = db.execute(sql, names).fetchall()
        return found[0] if found else None

    if missing := first("SELECT reason FROM main.sync_missing WHERE id IN (?1, ?2)"):
        return f": {printable(missing[0])}"
    if db.table_exists("main", FILES.table):
        if first(f"SELECT 1 FROM main.{FILES.table} WHERE id IN (?1, ?2)"):
            return f": it was not downloaded yet. ftsql sync {path} --contents does"
        if named := first(f"SELECT id FROM main.{FILES.table} WHERE filename IN (?1, ?2)"):
            return f": that is a name. Say the id: {named[0]}"
    job = db.table_exists("main", JOBS.table) and first(
        f"SELECT training_file FROM main.{JOBS.table} WHERE id IN (?1, ?2)"
    )
    if job:
        return f": that is a job. Its training file is {job[0]}"
    return f'. ftsql --db {path} "SELECT id, filename FROM files" lists the files'


def _into(db: apsw.Connection, folder: str, files: Sequence[Found], archive: str, say: Say, *, force: bool) -> None:
    """Write files into a folder, each under a name of its own."""
    several = len({provider for _, provider, _, _ in files}) > 1
    made: set[str] = set()
    for found in files:
        name = base = _name(db, found, several=several)
        number = 1
        while name.casefold() in made:
            number += 1
            name = f"{number}-{base}"
        made.add(name.casefold())
        _write(db, found, os.path.join(folder, name), archive, force=force)
        if len(files) < 50:
            say(f"{os.path.join(folder, name)}: {os.path.getsize(os.path.join(folder, name)):,} bytes")
    if len(files) >= 50:
        say(f"{folder}: {len(files):,} files")


def _name(db: apsw.Connection, found: Found, *, several: bool) -> str:
    """A name for a file in a directory: its id, and the name that it had, as far as a path can have them."""
    _, provider, id, _ = found
    known: Any = None
    if db.table_exists("main", FILES.table):
        known = db.execute(f"SELECT filename FROM main.{FILES.table} WHERE key = ?", (f"{provider}/{id}",)).get
    name = "-".join(str(part) for part in ([provider] if several else []) + [id] + ([known] if known else []))
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    if len(name.encode()) <= NAME:
        return name
    ending = os.path.splitext(name)[1][:10]
    return name.encode()[: NAME - len(ending.encode())].decode(errors="ignore") + ending


def _write(db: apsw.Connection, found: Found, path: str, archive: str, *, force: bool) -> None:
    """Write a content to a path. A file takes its name only once it is whole; a pipe or device is written to."""
    target = os.path.realpath(path)
    if target in {os.path.realpath(archive) + ending for ending in ("", "-wal", "-shm", "-journal")}:
        raise ProgrammingError(f"{path} is the archive: name another file")
    if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
        with open(target, "wb") as file:
            _copy(db, found, file)
        return
    if os.path.exists(target) and not force:
        raise ProgrammingError(f"{path} is there already: name another file, or say --force")
    if not os.path.isdir(os.path.dirname(target)) or path.endswith(os.sep):
        raise ProgrammingError(f"there is no directory {os.path.dirname(path)}: make it first")
    descriptor, made = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".ftsql-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            _copy(db, found, file)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(made, 0o666 & ~mask)
        os.replace(made, target)
    except BaseException:
        os.unlink(made)
        raise


def _copy(db: apsw.Connection, found: Found, file: BinaryIO) -> None:
    """Write a content. Raises DataError if it is not what was kept."""
    row, _, id, sha256 = found
    sums = hashlib.sha256()
    try:
        with db.blob_open("main", "file_contents", "content", row, False) as blob:
            while piece := blob.read(PIECE):
                sums.update(piece)
                file.write(piece)
    except apsw.Error as error:
        raise DataError(f"the content of {id} cannot be read: {error}") from None
    file.flush()
    if sums.hexdigest() != sha256:
        raise DataError(f"the content of {id} is damaged: its hash is not the one of what was downloaded")


@dataclass
class _Checked:
    """What a check has found."""

    contents: int = 0
    bytes: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)  # provider and id
    missing: int = 0
    waiting: int = 0  # contents that were not asked for yet
    lacking: list[str] = field(default_factory=list)  # tables that were never read to their end


def _check(db: apsw.Connection, path: str, say: Say) -> int:
    """Check all contents, and say what is damaged, what is missing and what was not read yet."""
    checked = _Checked()
    sound = db.execute("PRAGMA quick_check(1)").get
    if sound != "ok":
        say(f"{path} is a damaged database: {printable(str(sound))}")
    listed: Any = db.execute("SELECT rowid, provider, id, sha256, bytes FROM main.file_contents").fetchall()
    for row, provider, id, sha256, size in listed:
        checked.contents += 1
        checked.bytes += size
        try:
            with db.blob_open("main", "file_contents", "content", row, False) as blob:
                whole = blob.length() == size and digest(blob) == sha256
        except apsw.Error:
            whole = False
        if not whole:
            checked.damaged.append((provider, id))
            say(f"{provider}: {printable(id)}: {DAMAGED}")
    missing: Any = db.execute(
        "SELECT provider, id, reason FROM main.sync_missing WHERE reason <> ? ORDER BY provider, id", (DAMAGED,)
    ).fetchall()
    checked.missing = len(missing)
    for provider, id, reason in missing:
        say(f"{provider}: {printable(id)}: {printable(reason)}")
    _look_at_tables(db, checked, say)
    if checked.damaged:
        _ask_again(db, checked.damaged)
    if checked.damaged or checked.waiting or checked.lacking:
        say(f"ftsql sync {path} --tables all --contents brings what can be had")
    print(  # noqa: T201 - a command speaks
        f"{checked.contents:,} contents of {checked.bytes / 1e6:,.1f} MB, {len(checked.damaged):,} damaged, "
        f"{checked.missing:,} missing, {checked.waiting:,} not downloaded yet"
    )
    return int(sound != "ok" or bool(checked.damaged or missing or checked.waiting or checked.lacking))


def _look_at_tables(db: apsw.Connection, checked: _Checked, say: Say) -> None:
    """Look for contents that were never asked for, and for tables that were never read to their end."""
    states: Any = []
    if db.table_exists("main", "sync_state"):
        states = db.execute('SELECT provider, "table", synced_at, error FROM main.sync_state ORDER BY 1').fetchall()
    if not states:
        checked.lacking.append(JOBS.table)
        say("no sync into it has come to its end yet")
        return
    for provider in dict.fromkeys(provider for provider, *_ in states):
        lacks = [short(table) for name, table, at, _ in states if name == provider and at is None]
        if lacks:
            checked.lacking += lacks
            say(f"{provider}: not read to the end yet: {', '.join(lacks)}")
        if all(db.table_exists("main", each.table) for each in (JOBS, FILES)):
            waiting = len(db.execute(WANTED, (provider, -1.0)).fetchall())
            checked.waiting += waiting
            if waiting:
                say(f"{provider}: {waiting:,} contents were not downloaded yet")
        failed = [(at, error) for name, _, at, error in states if name == provider and error and at is not None]
        if failed:
            day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(at for at, _ in failed)))
            say(f"{provider}: the last sync failed ({printable(failed[0][1])}): its rows are of {day} or later")


def _ask_again(db: apsw.Connection, damaged: Sequence[tuple[str, str]]) -> None:
    """Have the next sync download these once more, where the archive can be written."""
    with contextlib.suppress(apsw.Error):
        db.executemany(
            "INSERT OR REPLACE INTO main.sync_missing VALUES (?, 'file_contents', ?, ?, 0, 0)",
            [(provider, id, DAMAGED) for provider, id in damaged],
        )
