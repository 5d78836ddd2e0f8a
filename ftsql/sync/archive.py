"""The contents of files in a snapshot: what makes it an archive, which outlives the provider.

Each file is downloaded beside the snapshot, checked, and kept in a transaction of its own, so that a process that is
killed loses only what was under way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apsw

from ftsql.api.account import in_url
from ftsql.api.calls import Call
from ftsql.api.client import Client
from ftsql.api.download import PIECE, Download
from ftsql.errors import APIConnectionError, APIError, AuthenticationError, DataError, RateLimitError
from ftsql.resources.definitions import FILES, JOBS
from ftsql.sync import tables as layout
from ftsql.sync.snapshot import RESULT_FILES, Snapshot

MOST = 999_000_000  # bytes, which SQLite takes in one value
AT_ONCE = 4  # downloads side by side
IN_A_ROW = 3  # failures that may pass, after which a provider is not asked any more
TRIED_AGAIN = 86_400.0  # seconds after which a service asks again for what was refused
SHOWN = 20  # missing contents that are named one by one
# A job's files, then those that were uploaded for jobs and used by none. Those that were never asked for come first.
WANTED = f"""
WITH used (id) AS (
  SELECT training_file FROM main.{JOBS.table} WHERE provider = ?1
  UNION SELECT validation_file FROM main.{JOBS.table} WHERE provider = ?1
  UNION SELECT iif(each.type = 'object', each.value ->> '$.id', each.value)
    FROM main.{JOBS.table} AS job, json_each({RESULT_FILES}) AS each
    WHERE job.provider = ?1 AND each.type IN ('text', 'object')
  UNION SELECT id FROM main.{FILES.table} WHERE provider = ?1 AND purpose GLOB 'fine-tune*'
)
SELECT used.id FROM used LEFT JOIN main.sync_missing AS missing
  ON missing.provider = ?1 AND missing."table" = 'file_contents' AND missing.id = used.id
WHERE used.id <> '' AND iif(
  missing.id IS NULL,
  NOT EXISTS (SELECT 1 FROM main.file_contents WHERE provider = ?1 AND id = used.id),
  NOT missing.final AND missing.tried_at < ?2 -- also of a content that is damaged, or of another size than its file
)
ORDER BY missing.id IS NOT NULL, used.id
"""
# Contents of another size than the file has by now; base64 takes four bytes for three, and line ends.
ODD_SIZES = f"""
INSERT OR IGNORE INTO main.sync_missing
SELECT kept.provider, 'file_contents', kept.id,
  format('its provider says that it has %,d bytes, and gave %,d, which are kept', file.bytes, kept.bytes), 0, 0
FROM main.file_contents AS kept JOIN main.{FILES.table} AS file ON file.key = kept.provider || '/' || kept.id
WHERE kept.provider = ?1 AND kept.bytes <> file.bytes
  AND kept.bytes NOT BETWEEN (file.bytes + 2) / 3 * 4 AND (file.bytes + 2) / 3 * 4 * 1.04 + 2
"""
FORM = "the result files of this job are in a form that is not known: "
ODD_FORMS = f"""
INSERT OR REPLACE INTO main.sync_missing
SELECT provider, 'file_contents', id, '{FORM}' || result_files,
  ?2, 1
FROM main.{JOBS.table} AS job
WHERE provider = ?1 AND result_files IS NOT NULL AND (
  {RESULT_FILES} IS NOT result_files OR EXISTS (
    SELECT 1 FROM json_each({RESULT_FILES}) AS each
    WHERE iif(each.type = 'object', each.value ->> '$.id', iif(each.type = 'text', each.value, NULL)) IS NULL
  )
)
"""


@dataclass(frozen=True)
class Asker:
    """What the downloads are sent for, in the log of requests."""

    statement: str = "ftsql sync --contents"


@dataclass
class Contents:
    """The contents of one provider's files in an archive, and what of them is ``missing``: ids with their reasons.

    ``files`` and ``bytes``: all that are kept; ``new`` of them since the last round. ``error``: why it ended early.
    """

    provider: str
    files: int = 0
    bytes: int = 0
    new: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    final: int = 0  # of those that are missing: how many will never come
    error: str = ""

    def __str__(self) -> str:
        told = (
            f"{self.files:,} contents of {self.bytes / 1e6:,.1f} MB ({f'{self.new:,} new' if self.new else 'unchanged'}"
        )
        told += f", {len(self.missing):,} MISSING)" if self.missing else ")"
        return told + (f", ended early: {self.error.rstrip('.')}" if self.error else "")

    def complaints(self) -> Iterator[str]:
        """What is missing, a line each; of many the first ones."""
        for number, (id, reason) in enumerate(self.missing.items()):
            if number == SHOWN:
                yield f"{self.provider}: and {len(self.missing) - SHOWN:,} more: SELECT * FROM sync_missing"
                return
            yield f"{self.provider}: no content of {printable(id)}: {printable(reason.rstrip('.'))}"


class Archive:
    """The contents in ``snapshot``, and how more come into it; ``clients`` by provider.

    ``most``: bytes of a content that are read into memory.
    """

    def __init__(self, snapshot: Snapshot, clients: Mapping[str, Client], stop: Callable[[], bool], most: int) -> None:
        self._snapshot = snapshot
        self._clients = clients
        self._stop = stop
        self._new: dict[str, int] = {}
        self._most = most
        self._began = time.time()

    def content(self, provider: str, id: str) -> bytes | None:
        """A content that is kept, empty if it is missing since this archive began; None if it was not asked for."""
        with self._snapshot.doing("read"):
            db = self._snapshot.db
            if not layout.is_archive(db):
                return None
            found: Any = db.execute(
                "SELECT bytes FROM main.file_contents WHERE provider = ? AND id = ?", (provider, id)
            ).get
            if found is not None and found > self._most:
                return None  # which is refused in its words
            content: bytes | None = db.execute(
                "SELECT content FROM main.file_contents WHERE provider = ?1 AND id = ?2 UNION ALL "
                "SELECT x'' FROM main.sync_missing WHERE provider = ?1 AND \"table\" = 'file_contents' AND id = ?2 "
                "AND (final OR tried_at >= ?3)",
                (provider, id, self._began),
            ).get
            return content

    def complete(self, provider: str, *, patient: bool = False) -> Contents:
        """Bring every content that is wanted and not kept; ``patient``: ask for what was refused once a day only.

        Raises OperationalError if the file or the disk cannot take it, apsw.InterruptError.
        """
        with self._snapshot.writing() as db:
            db.execute(ODD_SIZES, (provider,))
            db.execute("DELETE FROM main.sync_missing WHERE provider = ? AND reason GLOB ?", (provider, f"{FORM}*"))
            db.execute(ODD_FORMS, (provider, time.time()))
        with self._snapshot.doing("read"):
            before = time.time() - TRIED_AGAIN if patient else self._began
            ids = [str(id) for (id,) in self._snapshot.db.execute(WANTED, (provider, before)).fetchall()]
        error = self.bring(provider, ids)
        with self._snapshot.doing("read"):
            kept: Any = self._snapshot.db.execute(
                "SELECT count(*), total(bytes) FROM main.file_contents WHERE provider = ?", (provider,)
            ).fetchone()
            missing: Any = self._snapshot.db.execute(
                "SELECT id, reason, final FROM main.sync_missing WHERE provider = ? AND \"table\" = 'file_contents' "
                "ORDER BY id",
                (provider,),
            ).fetchall()
        return Contents(
            provider,
            kept[0],
            int(kept[1]),
            self._new.pop(provider, 0),
            {id: reason for id, reason, _ in missing},
            sum(final for *_, final in missing),
            error,
        )

    def bring(self, provider: str, ids: Iterable[str]) -> str:
        """Download these files and keep them. Return why it ended early, or an empty text.

        A file that cannot be had is written down as missing. Raises as ``complete`` does.
        """
        client = self._clients[provider]
        files = iter(ids)
        waiting: deque[_File] = deque()
        failures = 0
        try:
            while True:
                while len(waiting) < AT_ONCE and (id := next(files, None)) is not None:
                    if "files" in client.account.provider.without or not in_url(client.account, id):
                        self._miss(provider, id, "its provider has no such file to ask for", final=True)
                    else:
                        waiting.append(_File(client, id, self._snapshot.folder, self._snapshot.size_of(provider, id)))
                if not waiting:
                    return ""
                file = waiting[0]
                error = self._keep(file)
                if error is None:
                    failures = 0
                elif isinstance(error, AuthenticationError) and error.status == 401:
                    return str(error)
                elif isinstance(error, (APIConnectionError, RateLimitError)) or (error.status or 0) >= 500:
                    failures += 1
                    if failures == IN_A_ROW:
                        return str(error)
                waiting.popleft().close()
        finally:
            for file in waiting:
                file.close()

    def _keep(self, file: _File) -> APIError | None:
        """Wait for a file and keep it. Return the error of one that cannot be had, which is written down."""
        provider, id = file.client.account.name, file.id
        kept = [] if file.size is None else self._kept_hash(provider, id)
        strange = set(kept)  # hashes of contents that are not as large as their provider says
        while True:
            try:
                if not file.call.wait(self._stop):
                    reason = "the provider has no such file (HTTP 404)"
                    self._miss(provider, id, reason, final=self._is_unlisted(provider, id))
                    return None
            except APIError as error:
                self._miss(provider, id, str(error).removeprefix(f"{provider}: "), final=error.status == 410)
                return error
            except DataError as error:
                self._miss(provider, id, str(error).removeprefix(f"{provider}: "), final=False)
                return None
            size, sha256 = file.download.size, file.download.sha256
            if file.size is None or size == file.size or _unpacked_size(file.download) == file.size:
                self._write(file, whole=True)
                return None
            told = f"its provider says that it has {file.size:,} bytes, and gave {size:,}"
            if sha256 in strange:
                self._miss(provider, id, f"{told}, which are kept", final=False)
                if not kept:
                    self._write(file, whole=False)
                return None
            if len(strange) > len(kept):
                self._miss(provider, id, f"{told}, others each time", final=False)
                return None
            strange.add(sha256)
            file.again()

    def _kept_hash(self, provider: str, id: str) -> list[str]:
        """The hash of a content that is kept, if it is."""
        with self._snapshot.doing("read"):
            found: Any = (
                self._snapshot.db.execute(
                    "SELECT sha256 FROM main.file_contents WHERE provider = ? AND id = ?", (provider, id)
                ).fetchall()
                if layout.is_archive(self._snapshot.db)
                else []
            )
            return [sha256 for (sha256,) in found]

    def _is_unlisted(self, provider: str, id: str) -> bool:
        """Whether the provider lists its files, and not this one: then it will never come."""
        with self._snapshot.doing("read"):
            if any(name == "gathered" for _, name, _ in self._snapshot.db.execute("PRAGMA database_list").fetchall()):
                return False  # the list is still being read
            listed: Any = self._snapshot.db.execute(
                "SELECT synced_at IS NOT NULL AND error IS NULL FROM main.sync_state "
                'WHERE provider = ? AND "table" = ?',
                (provider, FILES.table),
            ).get
            known = self._snapshot.db.execute(
                f"SELECT 1 FROM main.{FILES.table} WHERE key = ?", (f"{provider}/{id}",)
            ).get
            return bool(listed) and known is None

    def _write(self, file: _File, *, whole: bool) -> None:
        """Keep a content. What is read back has to be what came."""
        provider, download = file.client.account.name, file.download
        with self._snapshot.writing() as db:
            damaged = "\"table\" = 'file_contents' AND NOT final"
            db.execute(
                "DELETE FROM main.file_contents WHERE provider = ?1 AND id = ?2 AND EXISTS "
                f"(SELECT 1 FROM main.sync_missing WHERE provider = ?1 AND id = ?2 AND {damaged})",
                (provider, file.id),
            )
            if whole:
                self._forget(db, provider, file.id)
            db.execute(
                "INSERT OR IGNORE INTO main.file_contents VALUES (?, ?, ?, ?, ?)",
                (provider, file.id, download.sha256, download.size, apsw.zeroblob(download.size)),
            )
            if not db.changes():
                return  # another sync was faster
            row = db.last_insert_rowid()
            if download.size:
                with db.blob_open("main", "file_contents", "content", row, True) as blob:
                    for piece in download.pieces():
                        if self._stop():
                            raise apsw.InterruptError("interrupted")
                        blob.write(piece)
                with db.blob_open("main", "file_contents", "content", row, False) as blob:
                    if digest(blob) != download.sha256:
                        raise apsw.CorruptError(f"the content of {file.id} is not what was written")
        self._new[provider] = self._new.get(provider, 0) + 1

    def _miss(self, provider: str, id: str, reason: str, *, final: bool) -> None:
        """Write down why a content is missing, unless another sync has brought it meanwhile."""
        with self._snapshot.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO main.sync_missing SELECT ?1, 'file_contents', ?2, ?3, ?4, ?5 "
                "WHERE NOT EXISTS (SELECT 1 FROM main.file_contents WHERE provider = ?1 AND id = ?2) "
                "OR EXISTS (SELECT 1 FROM main.sync_missing WHERE provider = ?1 AND id = ?2)",
                (provider, id, reason, time.time(), int(final)),
            )

    def _forget(self, db: apsw.Connection, provider: str, id: str) -> None:
        db.execute(
            "DELETE FROM main.sync_missing WHERE provider = ? AND \"table\" = 'file_contents' AND id = ?",
            (provider, id),
        )


class _File:
    """A file that is asked for."""

    def __init__(self, client: Client, id: str, folder: str, size: int | None) -> None:
        self.client = client
        self.id = id
        self.size = size  # that the provider says, in bytes
        self.download = Download(folder, client.counts, MOST if size is None else size * 3 // 2 + PIECE)
        self.again()

    def again(self) -> None:
        self.call: Call[bool] = self.client.download(f"{FILES.path}/{self.id}/content", self.download, Asker())

    def close(self) -> None:
        self.call.abandoned.set()
        self.download.close()


def printable(text: str) -> str:
    """A text of a server's for a terminal."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def digest(blob: apsw.Blob) -> str:
    """The SHA-256 of a content, in hexadecimal digits, read a megabyte at a time."""
    found = hashlib.sha256()
    while piece := blob.read(PIECE):
        found.update(piece)
    return found.hexdigest()


def _unpacked_size(download: Download) -> int | None:
    """The bytes of a content that came in base64, as result files do; None where it is none."""
    if download.size > 64 * PIECE:
        return None
    try:
        return len(base64.b64decode(b"".join(b"".join(download.pieces()).split()), validate=True))
    except binascii.Error:
        return None
