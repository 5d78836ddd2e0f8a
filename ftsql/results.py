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
from collections.abc import Iterator, Sequence
from typing import Any, Required, TypedDict

from ftsql import contents
from ftsql.account import Account
from ftsql.errors import DataError, Warning
from ftsql.fields import Id, Text
from ftsql.ids import in_url
from ftsql.known import Known
from ftsql.look import Look
from ftsql.nested import AHEAD, Nested
from ftsql.parents import Parent, heard
from ftsql.resource import Resource, Row
from ftsql.resources import RESULTS, is_finished

RECENT = 64  # jobs whose rows a statement keeps at hand
MAX_KEPT = 8 * 1024 * 1024  # characters of a file that the store keeps
BASE64 = re.compile(rb"[A-Za-z0-9+/\s]++={0,2}\s*+")
INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NAMES = {
    *(column.name for column in RESULTS.documented if column.name not in ("file_id", RESULTS.parent)),
    "validation_mean_token_accuracy",
}


class ResultFile(TypedDict, total=False):
    id: Required[Id]
    content: Text


FILE = Resource(table="result_files", noun="result file", model=ResultFile, extra=())


class Results(Nested):
    """One statement's view of the results; every result file is asked for at most once in it."""

    def __init__(self, look: Look, resource: Resource) -> None:
        super().__init__(look, resource)
        self._rows: OrderedDict[Parent, list[Row]] = OrderedDict()  # of late, for a join that comes back to them
        self._files: dict[Account, Known | None] = {}

    def rows(self, parents: Sequence[Parent]) -> Iterator[Row]:
        for number, parent in enumerate(parents):
            if number % AHEAD == 0 and not self._look.may_stop:
                self.ask(parents[number : number + 2 * AHEAD])
            if parent not in self._rows:
                self._rows[parent] = self._read(*parent)
                if len(self._rows) > RECENT:
                    self._rows.popitem(last=False)
            yield from self._rows[parent]

    def ask(self, parents: Sequence[Parent], *, ahead: bool = True) -> None:
        """Send for the result files of those jobs of which nothing need be asked first."""
        for account, id in dict.fromkeys(parents):
            job = heard(self._look, (account, id)) if (account, id) not in self._rows else None
            known = self._known(account)
            for file in _files(job) if isinstance(job, Row) else ():
                if in_url(account, file) and not (known is not None and known.holds_any([file])):
                    contents.of(self._look).ask(account, file, must=False)

    def _read(self, account: Account, id: str) -> list[Row]:
        """The results of one job, in the order of its files."""
        told = heard(self._look, (account, id))
        job = told if isinstance(told, Row) else self._look.get(account, id)
        if job is None:
            return []
        found: list[Row] = []
        known = self._known(account)
        for file in _files(job):
            kept = None if known is None else known.row(file)
            if kept is not None:
                rows = parsed(account.name, id, file, str(kept.raw.get("content")))
                self._look.count(len(rows))
                found += rows
                continue
            content = contents.of(self._look).get(account, file) if in_url(account, file) else None
            if content is None:
                warnings.warn(f"{account.name}: the result file {file} of {id} is gone", Warning, stacklevel=2)
                continue
            text = decoded(account.name, file, content)
            found += parsed(account.name, id, file, text)
            if known is not None and is_finished(job.status) and len(text) <= MAX_KEPT:
                raw = {"id": file, "content": text}
                known.save([Row(account.name, {"id": file, "status": job.status}, raw)])
                if known.holds_any([file]):
                    contents.of(self._look).forget(account, file)
        return found

    def _known(self, account: Account) -> Known | None:
        """The store's place of an account's result files."""
        store = self._look.store
        if account not in self._files:
            usable = store if store is not None and not account.missing() else None
            settings = self._look.settings
            self._files[account] = Known(usable, account, settings, FILE, "content") if usable is not None else None
        return self._files[account]


def _files(job: Row) -> list[str]:
    """The ids of a job's result files; an older form of the API has the files themselves."""
    listed = job.nested("result_files")
    files = [file.get("id") if isinstance(file, dict) else file for file in listed] if isinstance(listed, list) else []
    return [file for file in dict.fromkeys(files) if isinstance(file, str) and file]


def decoded(provider: str, file: str, content: bytes) -> str:
    """The CSV text of a result file. Raises DataError where it is none."""
    candidates = [content]
    if BASE64.fullmatch(content):
        with contextlib.suppress(binascii.Error):
            candidates.append(base64.b64decode(b"".join(content.split()), validate=True))
    for candidate in candidates:
        try:
            text = candidate.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        header = text.lstrip("\r\n").partition("\n")[0].strip()
        if NAMES & {name.strip().strip('"') for name in header[:10_000].split(",")}:
            return text
    if not content.strip():
        return ""
    raise _no_csv(provider, file, "its first line names no metric")


def parsed(provider: str, job: str, file: str, text: str) -> list[Row]:
    """The lines of a result file as rows. Raises DataError for what is no CSV."""
    reader = csv.DictReader(
        io.StringIO(text.lstrip("\r\n"), newline=""), restkey="extra", skipinitialspace=True, strict=True
    )
    lines: list[dict[str, Any]] = []
    try:
        if reader.fieldnames is not None:
            reader.fieldnames = [name.strip() for name in reader.fieldnames]
        for line in reader:
            lines.append({name: _value(cell) for name, cell in line.items() if name})
    except csv.Error as error:
        raise _no_csv(provider, file, f"line {reader.line_num}: {error}") from None
    objects = [{**line, "id": f"{file}:{number:08}", "file_id": file} for number, line in enumerate(lines, 1)]
    rows = RESULTS.rows(provider, objects, job)
    return [Row(provider, row.values, line) for row, line in zip(rows, lines, strict=True)]


def _value(cell: Any) -> Any:
    """A cell as JSON has it: a number where it is one, null where it is empty, else its text."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return cell if text else None


def _no_csv(provider: str, file: str, why: str) -> DataError:
    return DataError(
        f"{provider}: the result file {file} is no CSV of metrics: {why}. See what it is: SELECT "
        f"file_content('{file}'), and leave its job out"
    )
