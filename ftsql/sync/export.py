"""``ftsql export``: write file contents from an archive into files, byte for byte, or check the archive."""

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
from ftsql.sync.archive import WANTED_FILES, printable, sha256_of
from ftsql.sync.tables import is_archive, short_name

Content = tuple[int, str, str, str]  # rowid, provider, id and sha256
MAX_NAME = 150  # the maximum length of a file name, in bytes
DAMAGED = "its content is damaged"  # stored in the archive and compared there, so it must not change
Say = Callable[[str], None]


def export(words: Sequence[str], say: Say) -> int:
    """Run ``ftsql export FILE ID [ID …] [-o PATH]``, ``--all -o DIRECTORY`` or ``--check``. Return the exit code.

    Raises ProgrammingError if the file is not an archive or has no such content, or if the target cannot be written.
    Raises DataError if a content is damaged.
    """
    given = _arguments(words)
    with contextlib.closing(_open_archive(given.file, writes=given.check)) as db:
        if given.check:
            return _check(db, given.file, say)
        chosen = _all(db) if given.all else [_find(db, given.file, id) for id in given.ids]
        if given.path is None:
            _copy(db, chosen[0], sys.stdout.buffer)
            return 0
        try:
            if given.all or len(given.ids) > 1:
                os.makedirs(given.path, exist_ok=True)
            if os.path.isdir(given.path):
                _write_into(db, given.path, chosen, given.file, say, force=given.force)
            else:
                _write(db, chosen[0], given.path, given.file, force=given.force)
                say(f"{given.path}: {os.path.getsize(given.path):,} bytes")
        except OSError as error:
            raise ProgrammingError(f"cannot write to {given.path}: {error.strerror}") from None
    return 0


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments of the command. Exit with code 2 if they do not fit together."""
    parser = argparse.ArgumentParser(
        prog="ftsql export", description="Write the contents of files out of an archive (ftsql sync FILE --contents)."
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="the archive")
    add("ids", nargs="*", metavar="ID", help="a file's id, or PROVIDER/ID if several providers have that id")
    add("-o", dest="path", metavar="PATH", help="the file to write (stdout); for several files a directory")
    add("--all", action="store_true", help="write all files into the directory of -o")
    add("--force", action="store_true", help="overwrite existing files")
    add("--check", action="store_true", help="write nothing: check all contents and list what the archive lacks")
    given = parser.parse_intermixed_args(words)
    if [bool(given.ids), given.all, given.check].count(True) != 1 or (given.check and given.path):
        parser.error("use: ftsql export FILE ID -o PATH, ftsql export FILE --all -o DIRECTORY, or FILE --check")
    if (given.all or len(given.ids) > 1) and given.path is None:
        parser.error("several files are written into a directory: -o DIRECTORY")
    return given


def _all(db: apsw.Connection) -> list[Content]:
    found: Any = db.execute("SELECT rowid, provider, id, sha256 FROM main.file_contents ORDER BY 2, 3").fetchall()
    contents: list[Content] = found
    return contents


def _open_archive(path: str, *, writes: bool) -> apsw.Connection:
    """Open the archive at ``path``. Raises ProgrammingError if the file is not an archive or cannot be read."""
    if not os.path.isfile(path):
        raise ProgrammingError(f"there is no file {path}")
    uri = "file:" + quote(os.path.abspath(path))
    try:
        db = _connect(uri, "rw") if writes and os.access(path, os.W_OK) else _connect(uri, "ro")
    except apsw.Error as error:
        if os.path.exists(f"{path}-wal"):
            raise ProgrammingError(
                f"{path} cannot be read, because its log {path}-wal cannot be read ({error})"
            ) from None
        try:
            db = _connect(uri, "ro&immutable=1")  # on a read-only medium, where no log can be created
        except apsw.Error:
            raise ProgrammingError(f"{path} cannot be read: {error}") from None
    if is_archive(db):
        return db
    db.close()
    raise ProgrammingError(f"{path} has no contents of files: ftsql sync {path} --contents downloads them")


def _connect(uri: str, mode: str) -> apsw.Connection:
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


def _find(db: apsw.Connection, path: str, id: str) -> Content:
    """Return the content whose id, or PROVIDER/ID, is ``id``. Raises ProgrammingError if there is not exactly one."""
    listed: Any = db.execute(
        "SELECT rowid, provider, id, sha256 FROM main.file_contents WHERE id = ?1 OR provider || '/' || id = ?1", (id,)
    ).fetchall()
    if len({sha for _, _, _, sha in listed}) > 1:
        keys = " or ".join(f"{provider}/{id}" for _, provider, id, _ in listed)
        raise ProgrammingError(f"several providers have a file {id}: use {keys}")
    if listed:
        found: Content = listed[0]
        return found
    raise ProgrammingError(f"{path} has no content of {id}{_reason(db, path, id)}")


def _reason(db: apsw.Connection, path: str, id: str) -> str:
    """Return why there is no content of ``id``, and what to do."""
    names = (id, id.partition("/")[2] or id)

    def first(sql: str) -> Any:
        found: Any = db.execute(sql, names).fetchall()
        return found[0] if found else None

    if missing := first("SELECT reason FROM main.sync_missing WHERE id IN (?1, ?2)"):
        return f": {printable(missing[0])}"
    if db.table_exists("main", FILES.table):
        if first(f"SELECT 1 FROM main.{FILES.table} WHERE id IN (?1, ?2)"):
            return f": it was not downloaded yet. ftsql sync {path} --contents downloads it"
        if named := first(f"SELECT id FROM main.{FILES.table} WHERE filename IN (?1, ?2)"):
            return f": that is a name. Use the id: {named[0]}"
    job = db.table_exists("main", JOBS.table) and first(
        f"SELECT training_file FROM main.{JOBS.table} WHERE id IN (?1, ?2)"
    )
    if job:
        return f": that is a job. Its training file is {job[0]}"
    return f'. ftsql --db {path} "SELECT id, filename FROM files" lists the files'


def _write_into(
    db: apsw.Connection, folder: str, files: Sequence[Content], archive: str, say: Say, *, force: bool
) -> None:
    """Write files into a folder, each under a unique name."""
    several = len({provider for _, provider, _, _ in files}) > 1
    taken: set[str] = set()
    for found in files:
        name = base = _file_name(db, found, several=several)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{number}-{base}"
        taken.add(name.casefold())
        _write(db, found, os.path.join(folder, name), archive, force=force)
        if len(files) < 50:
            say(f"{os.path.join(folder, name)}: {os.path.getsize(os.path.join(folder, name)):,} bytes")
    if len(files) >= 50:
        say(f"{folder}: {len(files):,} files")


def _file_name(db: apsw.Connection, found: Content, *, several: bool) -> str:
    """Return a name for a file in a directory: its id and its original name, limited to safe characters."""
    _, provider, id, _ = found
    known: Any = None
    if db.table_exists("main", FILES.table):
        known = db.execute(f"SELECT filename FROM main.{FILES.table} WHERE key = ?", (f"{provider}/{id}",)).get
    name = "-".join(str(part) for part in ([provider] if several else []) + [id] + ([known] if known else []))
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    if len(name.encode()) <= MAX_NAME:
        return name
    ending = os.path.splitext(name)[1][:10]
    return name.encode()[: MAX_NAME - len(ending.encode())].decode(errors="ignore") + ending


def _write(db: apsw.Connection, found: Content, path: str, archive: str, *, force: bool) -> None:
    """Write a content to ``path``. A regular file is replaced with a finished temporary file; a pipe is written to."""
    target = os.path.realpath(path)
    if target in {os.path.realpath(archive) + ending for ending in ("", "-wal", "-shm", "-journal")}:
        raise ProgrammingError(f"{path} is the archive: choose another file")
    if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
        with open(target, "wb") as file:
            _copy(db, found, file)
        return
    if os.path.exists(target) and not force:
        raise ProgrammingError(f"{path} exists already: choose another file, or use --force")
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


def _copy(db: apsw.Connection, found: Content, file: BinaryIO) -> None:
    """Copy a content into ``file``. Raises DataError if its hash differs from the recorded one."""
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
        raise DataError(f"the content of {id} is damaged: its hash differs from the one of the download")


@dataclass
class _CheckResult:
    """The result of a check."""

    contents: int = 0
    bytes: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)  # provider and id
    missing: int = 0
    waiting: int = 0  # contents that were never requested
    unread: list[str] = field(default_factory=list)  # tables that were never read to the end
    sound: bool = True  # whether SQLite finds no error in the database

    @property
    def is_whole(self) -> bool:
        """Whether the archive is undamaged and lacks nothing."""
        return self.sound and not (self.damaged or self.missing or self.waiting or self.unread)


def _check(db: apsw.Connection, path: str, say: Say) -> int:
    """Check all contents, and report what is damaged, missing or unread. Return the exit code."""
    result = _CheckResult()
    quick_check = db.execute("PRAGMA quick_check(1)").get
    if quick_check != "ok":
        result.sound = False
        say(f"{path} is a damaged database: {printable(str(quick_check))}")
    _check_contents(db, result, say)
    missing: Any = db.execute(
        "SELECT provider, id, reason FROM main.sync_missing WHERE reason <> ? ORDER BY provider, id", (DAMAGED,)
    ).fetchall()
    result.missing = len(missing)
    for provider, id, reason in missing:
        say(f"{provider}: {printable(id)}: {printable(reason)}")
    _check_tables(db, result, say)
    if result.damaged:
        _request_again(db, result.damaged)
    if result.damaged or result.waiting or result.unread:
        say(f"ftsql sync {path} --tables all --contents downloads what is available")
    print(  # noqa: T201 - a command prints
        f"{result.contents:,} contents of {result.bytes / 1e6:,.1f} MB, {len(result.damaged):,} damaged, "
        f"{result.missing:,} missing, {result.waiting:,} not downloaded yet"
    )
    return 0 if result.is_whole else 1


def _check_contents(db: apsw.Connection, result: _CheckResult, say: Say) -> None:
    """Compare every content with its recorded size and hash."""
    listed: Any = db.execute("SELECT rowid, provider, id, sha256, bytes FROM main.file_contents").fetchall()
    for row, provider, id, sha256, size in listed:
        result.contents += 1
        result.bytes += size
        try:
            with db.blob_open("main", "file_contents", "content", row, False) as blob:
                whole = blob.length() == size and sha256_of(blob) == sha256
        except apsw.Error:
            whole = False
        if not whole:
            result.damaged.append((provider, id))
            say(f"{provider}: {printable(id)}: {DAMAGED}")


def _check_tables(db: apsw.Connection, result: _CheckResult, say: Say) -> None:
    """Look for contents that were never requested, and for tables that were never read to the end."""
    states: Any = []
    if db.table_exists("main", "sync_state"):
        states = db.execute('SELECT provider, "table", synced_at, error FROM main.sync_state ORDER BY 1').fetchall()
    if not states:
        result.unread.append(JOBS.table)
        say("no sync into it has finished yet")
        return
    has_files = all(db.table_exists("main", each.table) for each in (JOBS, FILES))
    for provider in dict.fromkeys(provider for provider, *_ in states):
        tables = [(table, synced_at, error) for name, table, synced_at, error in states if name == provider]
        if unread := [short_name(table) for table, synced_at, _ in tables if synced_at is None]:
            result.unread += unread
            say(f"{provider}: not read to the end yet: {', '.join(unread)}")
        if has_files and (waiting := len(db.execute(WANTED_FILES, (provider, -1.0)).fetchall())):
            result.waiting += waiting
            say(f"{provider}: {waiting:,} contents were not downloaded yet")
        if failed := [(synced_at, error) for _, synced_at, error in tables if error and synced_at is not None]:
            oldest = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(synced_at for synced_at, _ in failed)))
            say(f"{provider}: the last sync failed ({printable(failed[0][1])}): its rows are of {oldest} or later")


def _request_again(db: apsw.Connection, damaged: Sequence[tuple[str, str]]) -> None:
    """Let the next sync download these contents again, if the archive can be written."""
    with contextlib.suppress(apsw.Error):
        db.executemany(
            "INSERT OR REPLACE INTO main.sync_missing VALUES (?, 'file_contents', ?, ?, 0, 0)",
            [(provider, id, DAMAGED) for provider, id in damaged],
        )
