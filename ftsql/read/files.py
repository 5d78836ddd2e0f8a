"""The contents of files, and the metrics of jobs, which are the lines of CSV result files, plain or in base64.

The result files of a finished job never change, so their contents stay in the store.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import csv
import io
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Required, TypedDict

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.errors import Warning
from ftsql.read.other_resources import PREFETCH_COUNT, RECENT, OtherResources, Parent, job_row
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import FILES, RESULTS, is_finished
from ftsql.resources.fields import Id, Text
from ftsql.resources.resource import Resource, Row
from ftsql.store.cache import Cache

MAX_KEPT = 8 * 1024 * 1024  # the size in characters of the largest file that the store keeps
BASE64 = re.compile(rb"[A-Za-z0-9+/\s]++={0,2}\s*+")
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
METRICS = {
    *(column.name for column in RESULTS.documented if column.name not in ("file_id", RESULTS.parent)),
    "validation_mean_token_accuracy",
}


class Contents:
    """The contents of files that one statement reads. Each file is downloaded at most once."""

    def __init__(self, cache: StatementCache) -> None:
        self._cache = cache
        self._calls: dict[tuple[Account, str], Call[Any]] = {}
        self._kept: dict[tuple[Account, str], bytes] = {}

    def prefetch(self, account: Account, id: str, *, required: bool = True) -> None:
        """Request a file's content without waiting for it, unless it is known already."""
        if (account, id) in self._kept or (account, id) in self._calls:
            return
        kept = self._cache.kept_content(account.name, id)
        if kept is not None:
            self._kept[account, id] = kept
        else:
            call = self._cache.start(account, f"{FILES.path}/{id}/content", None, required, resource=FILES, plain=True)
            if call is not None:
                self._calls[account, id] = call

    def get(self, account: Account, id: str) -> bytes | None:
        """Return a file's content, or None if the file does not exist. Raises the same errors as ``Client.get``."""
        self.prefetch(account, id)
        if (account, id) in self._kept:
            return self._kept[account, id]
        content: bytes | None = self._cache.finish(account, self._calls[account, id])
        return content

    def forget(self, account: Account, id: str) -> None:
        """Drop a file's content from memory, because the store has it."""
        self._calls.pop((account, id), None)
        self._kept.pop((account, id), None)


def contents_of(cache: StatementCache) -> Contents:
    """Return the Contents of the statement that ``cache`` belongs to."""
    found: Contents = cache.nested.setdefault("contents of files", Contents(cache))
    return found


class ResultFile(TypedDict, total=False):
    id: Required[Id]
    content: Text


FILE = Resource(table="result_files", noun="result file", model=ResultFile, extra=())


class Results(OtherResources):
    """One statement's view of the metrics of jobs. Each result file is requested at most once."""

    def __init__(self, cache: StatementCache, resource: Resource) -> None:
        super().__init__(cache, resource)
        self._rows: OrderedDict[Parent, list[Row]] = OrderedDict()  # for recent jobs, to which a join may return
        self._files: dict[Account, Cache] = {}

    def rows(self, parents: Sequence[Parent], *, placed: bool = False) -> Iterator[Row]:
        for number, parent in enumerate(parents):
            if number % PREFETCH_COUNT == 0 and not self._cache.may_stop:
                self.prepare(parents[number : number + 2 * PREFETCH_COUNT])
            if parent not in self._rows:
                self._rows[parent] = self._read(*parent)
                if len(self._rows) > RECENT:
                    self._rows.popitem(last=False)
            yield from self._rows[parent]

    def prepare(self, parents: Sequence[Parent], *, send: bool = True) -> None:
        """Request the result files of the jobs that are known to have finished, without waiting for them."""
        for account, id in dict.fromkeys(parents):
            job = job_row(self._cache, (account, id)) if (account, id) not in self._rows else None
            stored = self._cache_of(account)
            for file in _result_file_ids(job) if job is not None and is_finished(job.status) else ():
                if account.accepts_id(file) and not stored.holds_any([file]):
                    contents_of(self._cache).prefetch(account, file, required=False)

    def _read(self, account: Account, id: str) -> list[Row]:
        """Return the metrics of one job, in the order of its files."""
        job = job_row(self._cache, (account, id)) or self._cache.get(account, id)
        if job is None:
            return []
        rows = [row for file in _result_file_ids(job) for row in self._read_file(account, job, id, file)]
        for number, row in enumerate(rows):
            row.position = number
        return rows

    def _read_file(self, account: Account, job: Row, id: str, file: str) -> list[Row]:
        """Return the metrics in one result file, from the store if it has the file. Warn about an unusable file."""
        stored = self._cache_of(account)
        kept = stored.row(file)
        if kept is not None:
            rows = parse_csv(account, id, file, str(kept.raw.get("content")), self._cache.tell)
            self._cache.count(len(rows))
            return rows
        content = contents_of(self._cache).get(account, file) if account.accepts_id(file) else None
        if content is None:
            warnings.warn(f"{account.name}: the result file {file} of {id} is gone", Warning, stacklevel=2)
            return []
        text, reason = csv_text(content), "its first line has no name of a metric"
        try:
            rows = [] if text is None else parse_csv(account, id, file, text, self._cache.tell)
        except csv.Error as error:
            text, reason = None, str(error)
        if text is None:
            self._cache.tell(
                f"{account.name}: the result file {file} of {id} is not a CSV of metrics ({reason}) and is left out. "
                f"To see its content: SELECT file_content('{file}')"
            )
            return []
        if is_finished(job.status) and 0 < len(text) <= MAX_KEPT:
            self._store(account, job, file, text)
        return rows

    def _store(self, account: Account, job: Row, file: str, text: str) -> None:
        """Save a file's text in the store, and drop the content from memory if the store has taken the text."""
        stored = self._cache_of(account)
        stored.save([Row(account.name, {"id": file, "status": job.status}, {"id": file, "content": text})])
        if stored.holds_any([file]):
            contents_of(self._cache).forget(account, file)

    def _cache_of(self, account: Account) -> Cache:
        """Return the stored result files of an account."""
        if account not in self._files:
            assert self._cache.store is not None
            self._files[account] = Cache(self._cache.store, account, self._cache.settings, FILE, "content")
        return self._files[account]


def _result_file_ids(job: Row) -> list[str]:
    """Return the ids of a job's result files. An older form of the API has the file objects instead of ids."""
    listed = job.nested("result_files")
    files = [file.get("id") if isinstance(file, dict) else file for file in listed] if isinstance(listed, list) else []
    return list(dict.fromkeys(file for file in files if isinstance(file, str) and file))


def csv_text(content: bytes) -> str | None:
    """Return the CSV in a result file, or None if the file has no metrics.

    The content may be plain or in base64, and either may be inside a JSON string.
    """
    if not content.strip():
        return ""
    for candidate in _candidates(content):
        with contextlib.suppress(UnicodeDecodeError):
            text = candidate.decode("utf-8-sig")
            header = _header(text.lstrip("\r\n"))
            if METRICS & {_name(name) for name in header.strip().split(_delimiter(header))}:
                return text
    return None


def _candidates(content: bytes) -> Iterator[bytes]:
    """Yield the content, without a JSON string's quotes and escapes; then, if it is valid base64, the decoded bytes."""
    if content.lstrip()[:1] == b'"':
        with contextlib.suppress(ValueError):
            text = from_json(content)
            content = text.encode() if isinstance(text, str) else content
    yield content
    if BASE64.fullmatch(content):
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(b"".join(content.split()), validate=True)


def _header(text: str) -> str:
    """Return the first line of a CSV, at most 10,000 characters."""
    return re.split("[\r\n]", text[:10_000], maxsplit=1)[0]


def _delimiter(header: str) -> str:
    """Return the delimiter of a header: comma, semicolon or tab, whichever occurs most."""
    return max(",;\t", key=header.count)


def _name(name: str) -> str:
    """Normalize the name of a column: ``Train Loss`` and ``"train_loss"`` both become train_loss."""
    return re.sub(r"[ -]+", "_", name.strip().strip('"').strip().lower())


def parse_csv(account: Account, job: str, file: str, text: str, tell: Callable[[str], None]) -> list[Row]:
    """Return the lines of a result file as rows. Raises csv.Error if the text is not valid CSV."""
    text = text.lstrip("\r\n")
    delimiter = _delimiter(_header(text))
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        restkey="extra",
        skipinitialspace=True,
        strict=True,
        delimiter=delimiter,
    )
    if reader.fieldnames is not None:
        reader.fieldnames = [_name(name) if _name(name) in METRICS else name.strip() for name in reader.fieldnames]
    decimal = "," if delimiter == ";" else "."
    lines = [{name: _value(cell, decimal) for name, cell in line.items() if name} for line in reader]
    objects = [{**line, "id": f"{file}:{number:08}", "file_id": file} for number, line in enumerate(lines, 1)]
    rows = RESULTS.rows(account.name, objects, job, tell)
    shown = account.without_credentials(lines)
    return [Row(account.name, row.values, line) for row, line in zip(rows, shown, strict=True)]


def _value(cell: Any, decimal: str) -> Any:
    """Return a cell as a JSON value: a number if it looks like one, None if it is empty, otherwise the string."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if INTEGER.fullmatch(text):
        return int(text)
    number = text.replace(decimal, ".")
    if NUMBER.fullmatch(number) and abs(float(number)) != float("inf"):
        return float(number)
    return cell if text else None
