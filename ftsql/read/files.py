"""The step-by-step metrics of jobs: the lines of their result files, which are CSV, plain or in base64.

A finished job's result files never change: what was read of them stays in the store.
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
from ftsql.read.other_resources import AHEAD, RECENT, OtherResources, Parent, seen
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import FILES, RESULTS, is_finished
from ftsql.resources.fields import Id, Text
from ftsql.resources.resource import Resource, Row
from ftsql.store.cache import Cache

MAX_KEPT = 8 * 1024 * 1024  # characters of a file that the store keeps
BASE64 = re.compile(rb"[A-Za-z0-9+/\s]++={0,2}\s*+")
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
METRICS = {
    *(column.name for column in RESULTS.documented if column.name not in ("file_id", RESULTS.parent)),
    "validation_mean_token_accuracy",
}


class Contents:
    """What the statement of ``cache`` has asked for."""

    def __init__(self, cache: StatementCache) -> None:
        self._cache = cache
        self._calls: dict[tuple[Account, str], Call[Any]] = {}
        self._kept: dict[tuple[Account, str], bytes] = {}

    def ask(self, account: Account, id: str, *, must: bool = True) -> None:
        """Send for a file's content, without waiting for it."""
        if (account, id) in self._kept or (account, id) in self._calls:
            return
        kept = self._cache.kept_content(account.name, id)
        if kept is not None:
            self._kept[account, id] = kept
        else:
            call = self._cache.start(account, f"{FILES.path}/{id}/content", None, must, resource=FILES, plain=True)
            if call is not None:
                self._calls[account, id] = call

    def get(self, account: Account, id: str) -> bytes | None:
        """A file's content; None where there is no such file. Raises what Client.get does."""
        self.ask(account, id)
        if (account, id) in self._kept:
            return self._kept[account, id]
        content: bytes | None = self._cache.finish(account, self._calls[account, id])
        return content

    def forget(self, account: Account, id: str) -> None:
        """Let go of a content that others keep."""
        self._calls.pop((account, id), None)
        self._kept.pop((account, id), None)


def contents_of(cache: StatementCache) -> Contents:
    """The contents that the statement of ``cache`` has read."""
    found: Contents = cache.nested.setdefault("contents of files", Contents(cache))
    return found


class ResultFile(TypedDict, total=False):
    id: Required[Id]
    content: Text


FILE = Resource(table="result_files", noun="result file", model=ResultFile, extra=())


class Results(OtherResources):
    """One statement's view of the results; every result file is asked for at most once in it."""

    def __init__(self, cache: StatementCache, resource: Resource) -> None:
        super().__init__(cache, resource)
        self._rows: OrderedDict[Parent, list[Row]] = OrderedDict()  # of late, for a join that comes back to them
        self._files: dict[Account, Cache] = {}

    def rows(self, parents: Sequence[Parent], *, placed: bool = False) -> Iterator[Row]:
        for number, parent in enumerate(parents):
            if number % AHEAD == 0 and not self._cache.may_stop:
                self.ask(parents[number : number + 2 * AHEAD])
            if parent not in self._rows:
                self._rows[parent] = self._read(*parent)
                if len(self._rows) > RECENT:
                    self._rows.popitem(last=False)
            yield from self._rows[parent]

    def ask(self, parents: Sequence[Parent], *, ahead: bool = True) -> None:
        """Send for the result files of those jobs of which nothing need be asked first."""
        for account, id in dict.fromkeys(parents):
            job = seen(self._cache, (account, id)) if (account, id) not in self._rows else None
            stored = self._stored(account)
            for file in _files(job) if job is not None and is_finished(job.status) else ():
                if account.accepts_id(file) and not stored.holds_any([file]):
                    contents_of(self._cache).ask(account, file, must=False)

    def _read(self, account: Account, id: str) -> list[Row]:
        """The results of one job, in the order of its files."""
        job = seen(self._cache, (account, id)) or self._cache.get(account, id)
        if job is None:
            return []
        found: list[Row] = []
        stored = self._stored(account)
        for file in _files(job):
            kept = stored.row(file)
            if kept is not None:
                rows = parsed(account, id, file, str(kept.raw.get("content")), self._cache.tell)
                self._cache.count(len(rows))
                found += rows
                continue
            content = contents_of(self._cache).get(account, file) if account.accepts_id(file) else None
            if content is None:
                warnings.warn(f"{account.name}: the result file {file} of {id} is gone", Warning, stacklevel=2)
                continue
            text, why = decoded(content), "its first line names no metric"
            try:
                rows = [] if text is None else parsed(account, id, file, text, self._cache.tell)
            except csv.Error as error:
                text, why = None, str(error)
            if text is None:
                self._cache.tell(
                    f"{account.name}: the result file {file} of {id} is no CSV of metrics ({why}), and is left out. "
                    f"See what it is: SELECT file_content('{file}')"
                )
                continue
            found += rows
            if is_finished(job.status) and 0 < len(text) <= MAX_KEPT:
                raw = {"id": file, "content": text}
                stored.save([Row(account.name, {"id": file, "status": job.status}, raw)])
                if stored.holds_any([file]):
                    contents_of(self._cache).forget(account, file)
        for number, row in enumerate(found):
            row.position = number
        return found

    def _stored(self, account: Account) -> Cache:
        """The store's place of an account's result files."""
        if account not in self._files:
            assert self._cache.store is not None
            self._files[account] = Cache(self._cache.store, account, self._cache.settings, FILE, "content")
        return self._files[account]


def _files(job: Row) -> list[str]:
    """The ids of a job's result files; an older form of the API has the files themselves."""
    listed = job.nested("result_files")
    files = [file.get("id") if isinstance(file, dict) else file for file in listed] if isinstance(listed, list) else []
    return list(dict.fromkeys(file for file in files if isinstance(file, str) and file))


def decoded(content: bytes) -> str | None:
    """The CSV text of a result file: as it is, in base64, or a JSON text of either. None where it is no such CSV."""
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
    if content.lstrip()[:1] == b'"':
        with contextlib.suppress(ValueError):
            text = from_json(content)
            content = text.encode() if isinstance(text, str) else content
    yield content
    if BASE64.fullmatch(content):
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(b"".join(content.split()), validate=True)


def _header(text: str) -> str:
    """The first line of a CSV, of at most 10,000 characters."""
    return re.split("[\r\n]", text[:10_000], maxsplit=1)[0]


def _delimiter(header: str) -> str:
    """What stands between the names of a header: a comma, a semicolon or a tab, whichever there are more of."""
    return max(",;\t", key=header.count)


def _name(name: str) -> str:
    """A column's name as ours are: Train Loss and "train_loss" are the same."""
    return re.sub(r"[ -]+", "_", name.strip().strip('"').strip().lower())


def parsed(account: Account, job: str, file: str, text: str, tell: Callable[[str], None]) -> list[Row]:
    """The lines of a result file as rows. Raises csv.Error for what is no CSV."""
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
    """A cell as JSON has it: a number where it is one, null where it is empty, else its text."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if INTEGER.fullmatch(text):
        return int(text)
    number = text.replace(decimal, ".")
    if NUMBER.fullmatch(number) and abs(float(number)) != float("inf"):
        return float(number)
    return cell if text else None
