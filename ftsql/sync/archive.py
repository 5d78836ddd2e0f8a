"""The file contents in a snapshot. They turn the snapshot into an archive, which outlives the provider.

Each file is downloaded into the snapshot's folder, checked, and stored in a transaction of its own. If the process is
killed, only the downloads under way are lost.

The module is longer than 400 lines because one class owns every content: its download, its checks and its record.
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

from ftsql.api.calls import Call
from ftsql.api.client import Client
from ftsql.api.download import PIECE, Download
from ftsql.errors import APIConnectionError, APIError, AuthenticationError, DataError, RateLimitError
from ftsql.resources.definitions import FILES, JOBS
from ftsql.sync.snapshot import RESULT_FILES, Snapshot
from ftsql.sync.tables import is_archive

MAX_CONTENT = 999_000_000  # bytes; SQLite accepts no value much longer than this
PARALLEL_DOWNLOADS = 4
MAX_FAILURES = 3  # after this many failures in a row, downloads from a provider end
RETRY_AFTER = 86_400.0  # seconds after which a repeated sync retries a refused file
MAX_NAMED = 20  # how many missing contents are listed one by one
# A query for the files of jobs, and for files that were uploaded for jobs but not used. Files that were never requested
# come first.
WANTED_FILES = f"""
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
  NOT missing.final AND missing.tried_at < ?2 -- a damaged content, or one whose size differs, is listed too
)
ORDER BY missing.id IS NOT NULL, used.id
"""
# This statement records the contents whose size differs from the size that the provider declares now. Base64 makes four
# bytes of every three and adds line breaks, so the size of a file in Base64 is accepted too.
WRONG_SIZES = f"""
INSERT OR IGNORE INTO main.sync_missing
SELECT kept.provider, 'file_contents', kept.id,
  format('the provider declares %,d bytes but returned %,d, which are kept', file.bytes, kept.bytes), 0, 0
FROM main.file_contents AS kept JOIN main.{FILES.table} AS file ON file.key = kept.provider || '/' || kept.id
WHERE kept.provider = ?1 AND kept.bytes <> file.bytes
  AND kept.bytes NOT BETWEEN (file.bytes + 2) / 3 * 4 AND (file.bytes + 2) / 3 * 4 * 1.04 + 2
"""
# This prefix must not change, because archives contain it, and rows are found by it.
UNKNOWN_FORM = "the result files of this job are in a form that is not known: "
UNKNOWN_FORMS = f"""
INSERT OR REPLACE INTO main.sync_missing
SELECT provider, 'file_contents', id, '{UNKNOWN_FORM}' || result_files,
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
    """The statement that the log of requests shows for downloads."""

    statement: str = "ftsql sync --contents"


@dataclass
class ContentsReport:
    """The state of one provider's file contents in an archive.

    files, bytes: The number and the total size of all contents in the archive.
    new: The number of contents stored in this round.
    missing: The reason why each missing content is missing, by file id.
    final: How many of the missing contents can never be downloaded.
    error: Why the downloads ended early.
    """

    provider: str
    files: int = 0
    bytes: int = 0
    new: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    final: int = 0
    error: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.files:,} contents of {self.bytes / 1e6:,.1f} MB ({f'{self.new:,} new' if self.new else 'unchanged'}"
        )
        text += f", {len(self.missing):,} MISSING)" if self.missing else ")"
        return text + (f", ended early: {self.error.rstrip('.')}" if self.error else "")

    def problems(self) -> Iterator[str]:
        """Yield a line for each missing content. If more than MAX_NAMED are missing, one line counts the rest."""
        for number, (id, reason) in enumerate(self.missing.items()):
            if number == MAX_NAMED:
                yield f"{self.provider}: and {len(self.missing) - MAX_NAMED:,} more: SELECT * FROM sync_missing"
                return
            yield f"{self.provider}: no content of {printable(id)}: {printable(reason.rstrip('.'))}"


class Archive:
    """The file contents in ``snapshot``, and their downloads.

    clients: The clients by provider name.
    stop: A function that returns whether to end the current work. It is called often.
    max_body: The size in bytes of the largest content that ``find_content`` reads into memory.
    """

    def __init__(
        self, snapshot: Snapshot, clients: Mapping[str, Client], stop: Callable[[], bool], max_body: int
    ) -> None:
        self._snapshot = snapshot
        self._clients = clients
        self._stop = stop
        self._new: dict[str, int] = {}  # stored contents by provider
        self._max_body = max_body
        self._began = time.time()

    def find_content(self, provider: str, id: str) -> bytes | None:
        """Return the content of a file.

        Return an empty content if the file is known to be missing and is not to be requested again in this sync. Return
        None if the archive does not know the file, or if the content is too large to be read into memory.
        """
        with self._snapshot.translate_errors("read"):
            db = self._snapshot.db
            if not is_archive(db):
                return None
            found: Any = db.execute(
                "SELECT bytes FROM main.file_contents WHERE provider = ? AND id = ?", (provider, id)
            ).get
            if found is not None and found > self._max_body:
                return None  # the caller then requests the content, and reports that it is too large
            content: bytes | None = db.execute(
                "SELECT content FROM main.file_contents WHERE provider = ?1 AND id = ?2 UNION ALL "
                "SELECT x'' FROM main.sync_missing WHERE provider = ?1 AND \"table\" = 'file_contents' AND id = ?2 "
                "AND (final OR tried_at >= ?3)",
                (provider, id, self._began),
            ).get
            return content

    def update(self, provider: str, *, retry_refused: bool = True) -> ContentsReport:
        """Download all wanted contents that the archive lacks.

        Files that the provider refused before are tried again, but only once a day if ``retry_refused`` is false.
        Raises OperationalError if the file cannot be written or the disk is full, and apsw.InterruptError.
        """
        with self._snapshot.writing() as db:
            db.execute(WRONG_SIZES, (provider,))
            db.execute(
                "DELETE FROM main.sync_missing WHERE provider = ? AND reason GLOB ?", (provider, f"{UNKNOWN_FORM}*")
            )
            db.execute(UNKNOWN_FORMS, (provider, time.time()))
        with self._snapshot.translate_errors("read"):
            tried_before = self._began if retry_refused else time.time() - RETRY_AFTER
            ids = [str(id) for (id,) in self._snapshot.db.execute(WANTED_FILES, (provider, tried_before)).fetchall()]
        error = self.download(provider, ids)
        with self._snapshot.translate_errors("read"):
            kept: Any = self._snapshot.db.execute(
                "SELECT count(*), total(bytes) FROM main.file_contents WHERE provider = ?", (provider,)
            ).fetchone()
            missing: Any = self._snapshot.db.execute(
                "SELECT id, reason, final FROM main.sync_missing WHERE provider = ? AND \"table\" = 'file_contents' "
                "ORDER BY id",
                (provider,),
            ).fetchall()
        return ContentsReport(
            provider,
            kept[0],
            int(kept[1]),
            self._new.pop(provider, 0),
            {id: reason for id, reason, _ in missing},
            sum(final for *_, final in missing),
            error,
        )

    def download(self, provider: str, ids: Iterable[str]) -> str:
        """Download the files ``ids`` into the archive. Return why the downloads ended early, or an empty string.

        A file that cannot be downloaded is recorded as missing. Raises the same errors as ``update``.
        """
        client = self._clients[provider]
        remaining = iter(ids)
        running: deque[_FileDownload] = deque()
        failures = 0
        try:
            while True:
                self._start_downloads(client, remaining, running)
                if not running:
                    return ""
                error = self._finish(running[0])
                if _ends_downloads(error):
                    return str(error)
                if error is None:
                    failures = 0
                elif _counts_as_failure(error):
                    failures += 1
                    if failures == MAX_FAILURES:
                        return str(error)
                running.popleft().close()
        finally:
            for file in running:
                file.close()

    def _start_downloads(self, client: Client, ids: Iterator[str], running: deque[_FileDownload]) -> None:
        """Start downloads until ``PARALLEL_DOWNLOADS`` run or no id is left."""
        provider = client.account.name
        while len(running) < PARALLEL_DOWNLOADS and (id := next(ids, None)) is not None:
            if "files" in client.account.provider.without or not client.account.accepts_id(id):
                self._record_missing(provider, id, "its provider cannot be asked for such a file", final=True)
            else:
                size = self._snapshot.size_of(provider, id)
                running.append(_FileDownload(client, id, self._snapshot.folder, size))

    def _finish(self, file: _FileDownload) -> APIError | None:
        """Wait for a download and store its content. Return the error if the request failed, otherwise None.

        If no content of the declared size was received, record the reason.
        """
        provider, id = file.client.account.name, file.id
        kept = [] if file.size is None else self._kept_hash(provider, id)
        rejected = set(kept)  # hashes of contents whose size differs from the declared one
        while True:
            try:
                if not file.call.wait(self._stop):
                    reason = "the provider has no such file (HTTP 404)"
                    self._record_missing(provider, id, reason, final=self._is_unlisted(provider, id))
                    return None
            except APIError as error:
                reason = str(error).removeprefix(f"{provider}: ")
                self._record_missing(provider, id, reason, final=error.status == 410)
                return error
            except DataError as error:
                self._record_missing(provider, id, str(error).removeprefix(f"{provider}: "), final=False)
                return None
            if file.has_declared_size:
                self._store(file, has_declared_size=True)
                return None
            size, sha256 = file.download.size, file.download.sha256
            reason = f"the provider declares {file.size:,} bytes but returned {size:,}"
            if sha256 in rejected:
                self._record_missing(provider, id, f"{reason}, which are kept", final=False)
                if not kept:
                    self._store(file, has_declared_size=False)
                return None
            if len(rejected) > len(kept):
                self._record_missing(provider, id, f"{reason}, different ones each time", final=False)
                return None
            rejected.add(sha256)
            file.start()

    def _kept_hash(self, provider: str, id: str) -> list[str]:
        """Return a list with the hash of the stored content, or an empty list if the archive has no content."""
        with self._snapshot.translate_errors("read"):
            found: Any = (
                self._snapshot.db.execute(
                    "SELECT sha256 FROM main.file_contents WHERE provider = ? AND id = ?", (provider, id)
                ).fetchall()
                if is_archive(self._snapshot.db)
                else []
            )
            return [sha256 for (sha256,) in found]

    def _is_unlisted(self, provider: str, id: str) -> bool:
        """Whether the provider's list of files lacks this file. If so, the file can never be downloaded."""
        with self._snapshot.translate_errors("read"):
            if any(name == "gathered" for _, name, _ in self._snapshot.db.execute("PRAGMA database_list").fetchall()):
                return False  # the list may still be incomplete
            listed: Any = self._snapshot.db.execute(
                "SELECT synced_at IS NOT NULL AND error IS NULL FROM main.sync_state "
                'WHERE provider = ? AND "table" = ?',
                (provider, FILES.table),
            ).get
            known = self._snapshot.db.execute(
                f"SELECT 1 FROM main.{FILES.table} WHERE key = ?", (f"{provider}/{id}",)
            ).get
            return bool(listed) and known is None

    def _store(self, file: _FileDownload, *, has_declared_size: bool) -> None:
        """Store a content. Read it back to check it, and raise apsw.CorruptError if it is not what was written."""
        provider, download = file.client.account.name, file.download
        with self._snapshot.writing() as db:
            damaged = "\"table\" = 'file_contents' AND NOT final"
            db.execute(
                "DELETE FROM main.file_contents WHERE provider = ?1 AND id = ?2 AND EXISTS "
                f"(SELECT 1 FROM main.sync_missing WHERE provider = ?1 AND id = ?2 AND {damaged})",
                (provider, file.id),
            )
            if has_declared_size:
                self._clear_missing(db, provider, file.id)
            db.execute(
                "INSERT OR IGNORE INTO main.file_contents VALUES (?, ?, ?, ?, ?)",
                (provider, file.id, download.sha256, download.size, apsw.zeroblob(download.size)),
            )
            if not db.changes():
                return  # another sync has stored the content first
            row = db.last_insert_rowid()
            if download.size:
                with db.blob_open("main", "file_contents", "content", row, True) as blob:
                    for piece in download.pieces():
                        if self._stop():
                            raise apsw.InterruptError("interrupted")
                        blob.write(piece)
                with db.blob_open("main", "file_contents", "content", row, False) as blob:
                    if sha256_of(blob) != download.sha256:
                        raise apsw.CorruptError(f"the content of {file.id} is not what was written")
        self._new[provider] = self._new.get(provider, 0) + 1

    def _record_missing(self, provider: str, id: str, reason: str, *, final: bool) -> None:
        """Record why a content is missing, unless another sync has stored the content meanwhile."""
        with self._snapshot.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO main.sync_missing SELECT ?1, 'file_contents', ?2, ?3, ?4, ?5 "
                "WHERE NOT EXISTS (SELECT 1 FROM main.file_contents WHERE provider = ?1 AND id = ?2) "
                "OR EXISTS (SELECT 1 FROM main.sync_missing WHERE provider = ?1 AND id = ?2)",
                (provider, id, reason, time.time(), int(final)),
            )

    def _clear_missing(self, db: apsw.Connection, provider: str, id: str) -> None:
        db.execute(
            "DELETE FROM main.sync_missing WHERE provider = ? AND \"table\" = 'file_contents' AND id = ?",
            (provider, id),
        )


class _FileDownload:
    """One file that is being downloaded. ``size`` is the declared size in bytes, or None if it is unknown."""

    def __init__(self, client: Client, id: str, folder: str, size: int | None) -> None:
        self.client = client
        self.id = id
        self.size = size
        limit = MAX_CONTENT if size is None else size * 3 // 2 + PIECE  # base64 needs four bytes for every three
        self.download = Download(folder, client.counts, limit)
        self.start()

    @property
    def has_declared_size(self) -> bool:
        """Whether the content has the declared size, either as received or decoded from base64."""
        return self.size in (None, self.download.size) or _decoded_size(self.download) == self.size

    def start(self) -> None:
        """Send the request. Each further call sends the request again."""
        self.call: Call[bool] = self.client.download(f"{FILES.path}/{self.id}/content", self.download, Asker())

    def close(self) -> None:
        """Abandon the request and delete the temporary file."""
        self.call.abandoned.set()
        self.download.close()


def _ends_downloads(error: APIError | None) -> bool:
    """Whether the error means that the key is invalid, so that no other download can succeed either."""
    return isinstance(error, AuthenticationError) and error.status == 401


def _counts_as_failure(error: APIError) -> bool:
    """Whether the provider as a whole failed, and not just the request for this file."""
    return isinstance(error, (APIConnectionError, RateLimitError)) or (error.status or 0) >= 500


def printable(text: str) -> str:
    """Return ``text`` from a server with its control characters escaped, so that a terminal can show it safely."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def sha256_of(blob: apsw.Blob) -> str:
    """Return the SHA-256 of a content in hexadecimal digits. The content is read one PIECE at a time."""
    found = hashlib.sha256()
    while piece := blob.read(PIECE):
        found.update(piece)
    return found.hexdigest()


def _decoded_size(download: Download) -> int | None:
    """Return the size of the content decoded from base64, or None if the content is not base64.

    Result files may be in base64.
    """
    if download.size > 64 * PIECE:
        return None
    try:
        return len(base64.b64decode(b"".join(b"".join(download.pieces()).split()), validate=True))
    except binascii.Error:
        return None
