"""``ftsql export``: a file's content out of an archive, as it was, byte for byte."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import apsw

from ftsql.archive import digest
from ftsql.download import PIECE
from ftsql.errors import DataError, ProgrammingError

Found = tuple[int, str, str, str]  # rowid, provider, id and sha256


def export(words: Sequence[str], say: Callable[[str], None]) -> int:
    """``ftsql export FILE ID [ID …] [-o PATH]`` and ``ftsql export FILE --check``. Gives the exit code.

    Raises ProgrammingError for what is no archive, or has no such content; DataError for one that is damaged.
    """
    parser = argparse.ArgumentParser(
        prog="ftsql export", description="Write the content of a file out of an archive (ftsql sync FILE --contents)."
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="the archive")
    add("ids", nargs="*", metavar="ID", help="the file's id, or PROVIDER/ID where several providers have it")
    add("-o", dest="path", metavar="PATH", help="where to write it (stdout); for several files a directory")
    add("--force", action="store_true", help="write over a file that is there")
    add("--check", action="store_true", help="write nothing: check every content by its size and hash")
    given = parser.parse_intermixed_args(words)
    if given.check == bool(given.ids) or (given.check and given.path):
        parser.error("say: ftsql export FILE ID -o PATH, or ftsql export FILE --check")
    if len(given.ids) > 1 and (given.path is None or not os.path.isdir(given.path)):
        parser.error("several files go into a directory that is there: -o DIRECTORY")
    with contextlib.closing(_opened(given.file)) as db:
        if given.check:
            return _check(db, say)
        for id in given.ids:
            found = _found(db, given.file, id)
            if given.path is None:
                _copy(db, found, sys.stdout.buffer)
                continue
            name = os.path.join(given.path, _name(db, found)) if os.path.isdir(given.path) else given.path
            if os.path.exists(name) and not given.force:
                raise ProgrammingError(f"{name} is there already: name another file, or say --force")
            with _new(name) as file:
                _copy(db, found, file)
            say(f"{name}: {os.path.getsize(name):,} bytes")
    return 0


def _opened(path: str) -> apsw.Connection:
    """The archive, for reading. Raises ProgrammingError for what is none."""
    if not os.path.isfile(path):
        raise ProgrammingError(f"there is no file {path}")
    try:
        # A file on a medium that cannot be written has no log beside it.
        plain = os.access(path, os.W_OK) and os.access(os.path.dirname(os.path.abspath(path)), os.W_OK)
        uri = "file:" + os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        db = apsw.Connection(
            uri + ("?mode=rw" if plain else "?immutable=1"),
            flags=apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_READWRITE if plain else apsw.SQLITE_OPEN_READONLY),
        )
        db.execute("PRAGMA query_only = ON")
        db.set_busy_timeout(5000)
        if db.table_exists("main", "file_contents"):
            return db
    except apsw.Error as error:
        raise ProgrammingError(f"{path} cannot be read: {error}") from None
    db.close()
    raise ProgrammingError(f"{path} has no contents of files: ftsql sync {path} --contents brings them")


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
    reason: Any = None
    if db.table_exists("main", "sync_missing"):
        reason = db.execute("SELECT reason FROM main.sync_missing WHERE id = ?", (id,)).get
    why = f": {reason}" if reason else ". SELECT id, filename FROM files lists them; ids look like file-abc"
    raise ProgrammingError(f"{path} has no content of {id}{why}")


def _name(db: apsw.Connection, found: Found) -> str:
    """A name for a file in a directory: its id, and the name that it had as far as a path can have it."""
    _, provider, id, _ = found
    known: Any = None
    if db.table_exists("main", "files"):
        known = db.execute("SELECT filename FROM main.files WHERE key = ?", (f"{provider}/{id}",)).get
    names = [id, *([known] if known else [])]
    return "-".join("".join(c if c.isalnum() or c in "._-" else "_" for c in str(name)) for name in names)[:200]


@contextlib.contextmanager
def _new(path: str) -> Iterator[BinaryIO]:
    """A file that takes its name only once it is whole."""
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, made = tempfile.mkstemp(dir=folder, prefix=".ftsql-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(made, 0o666 & ~mask)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise


def _copy(db: apsw.Connection, found: Found, file: BinaryIO) -> None:
    """Write a content. Raises DataError if it is not what was kept."""
    row, _, id, sha256 = found
    sums = hashlib.sha256()
    with db.blob_open("main", "file_contents", "content", row, False) as blob:
        while piece := blob.read(PIECE):
            sums.update(piece)
            file.write(piece)
    file.flush()
    if sums.hexdigest() != sha256:
        raise DataError(f"the content of {id} is damaged: its hash is not the one of what was downloaded")


def _check(db: apsw.Connection, say: Callable[[str], None]) -> int:
    """Check all contents, and say what is not right and what is missing."""
    listed: Any = db.execute("SELECT rowid, provider, id, sha256, bytes FROM main.file_contents").fetchall()
    bad = 0
    for row, provider, id, sha256, size in listed:
        with db.blob_open("main", "file_contents", "content", row, False) as blob:
            if blob.length() != size or digest(blob) != sha256:
                say(f"{provider}: the content of {id} is damaged")
                bad += 1
    missing: Any = db.execute("SELECT provider, id, reason FROM main.sync_missing ORDER BY provider, id").fetchall()
    for provider, id, reason in missing:
        say(f"{provider}: {id}: {reason}")
    failed: Any = []
    if db.table_exists("main", "sync_state"):
        failed = db.execute('SELECT provider, "table", error FROM main.sync_state WHERE error IS NOT NULL').fetchall()
    for provider, table, error in failed:
        say(f"{provider}: {table}: {error}")
    total = sum(size for *_, size in listed)
    print(  # noqa: T201 - a command speaks
        f"{len(listed):,} contents of {total / 1e6:,.1f} MB, {bad:,} damaged, {len(missing):,} missing"
        + (f", {len(failed):,} tables that failed last" if failed else "")
    )
    return int(bool(bad or missing or failed))
