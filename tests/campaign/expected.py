"""What rows a body stands for, by a plain reading of it that shares nothing with ftsql's.

Each check gives what is wrong, in words, and nothing where all is right.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import csv
import datetime
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.campaign.bodies import KEY

Found = Sequence[Sequence[Any]]

JOB = {
    "id": "text", "status": "text", "model": "text", "created_at": "time", "finished_at": "time", "trained_tokens": "integer",
    "seed": "integer", "training_file": "text", "hyperparameters": "json", "error": "error", "metadata": "metadata",
    "result_files": "json", "fine_tuned_model": "text", "raw": "raw",
}  # fmt: skip
EVENT = {
    "id": "text",
    "created_at": "time",
    "level": "text",
    "message": "text",
    "type": "text",
    "data": "json",
    "raw": "raw",
}
CHECKPOINT = {
    "id": "text", "created_at": "time", "fine_tuned_model_checkpoint": "text", "step_number": "integer", "metrics": "json", "raw": "raw",
}  # fmt: skip
PERMISSION = {"id": "text", "created_at": "time", "project_id": "text", "raw": "raw"}
FILE = {
    "id": "text",
    "created_at": "time",
    "bytes": "integer",
    "filename": "text",
    "purpose": "text",
    "status": "text",
    "raw": "raw",
}
MODEL = {"id": "text", "created": "time", "owned_by": "text", "raw": "raw"}
RESULT = {
    "step": "whole",
    "train_loss": "real",
    "train_accuracy": "real",
    "valid_loss": "real",
    "valid_mean_token_accuracy": "real",
}
OTHER_NAMES = {"finished_at": "completed_at", "valid_mean_token_accuracy": "validation_mean_token_accuracy"}
MORE_METRICS = {"train_mean_token_accuracy", "full_valid_loss", "full_valid_mean_token_accuracy"}
NUMBER = re.compile(r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?+")


def listed(found: Found, body: bytes, columns: Mapping[str, str]) -> str:
    """Every object of a list is a row and every row an object, each id once, all values as they were sent.

    Events and checkpoints need no id, and each object is a row.
    """
    decoded = _decoded(body)
    if isinstance(decoded, list):
        decoded = {"data": decoded}
    if not isinstance(decoded, dict):
        return "rows out of a body that is no list"
    empty = decoded.get("data") is None and ("data" in decoded or decoded.get("has_more") in (False, "false", 0, "0"))
    data = [] if empty else decoded.get("data")
    if not isinstance(data, list):
        return "rows out of a body that is no list"
    if columns in (EVENT, CHECKPOINT):
        if len(found) < len(data) or not all(isinstance(sent, dict) for sent in data):
            return f"{len(found)} rows of {len(data)} objects"
        return next(filter(None, (_row(row, sent, columns) for row, sent in zip(found, data, strict=False))), "")
    objects: dict[str, Any] = {}
    for sent in reversed(data):
        if not isinstance(sent, dict) or "id" not in sent:
            return "rows out of a list of something else"
        objects[_text(sent["id"])] = sent
    ids = [row[0] for row in found]
    rest = decoded.get("has_more") is True and len({*ids}) == len(ids)  # which the store may have
    if sorted(ids) != sorted(objects) and not (rest and objects.keys() <= {*ids}):
        return f"the ids {ids} and not {list(objects)}"[:500]
    return next(filter(None, (_row(row, objects[row[0]], columns) for row in found if row[0] in objects)), "")


def single(found: Found, body: bytes, columns: Mapping[str, str], id: str) -> str:
    """One object by its id: that one, with all values as they were sent."""
    decoded = _decoded(body)
    if not isinstance(decoded, dict) or "id" not in decoded or _text(decoded["id"]) != id:
        return f"{len(found)} rows out of a body that is not {id}"
    if len(found) != 1:
        return f"{len(found)} rows of one object"
    return _row(found[0], decoded, columns)


def results(found: Found, content: bytes) -> str:
    """Every line of a CSV, plain, in base64 or as a JSON text, is a row with its numbers; what is none has no rows."""
    texts = []
    with contextlib.suppress(UnicodeError):
        texts.append(content.decode("utf-8-sig"))
    with contextlib.suppress(ValueError):
        inner = json.loads(content)
        texts += [inner] if isinstance(inner, str) else []
    with contextlib.suppress(binascii.Error, UnicodeError, IndexError):
        texts.append(base64.b64decode(b"".join(texts[-1].encode().split()), validate=True).decode("utf-8-sig"))
    if not texts:
        return f"{len(found)} rows of what is no text" if found else ""
    tried = [_lines(found, text) for text in texts]
    return "" if "" in tried else tried[-1]


def content(found: Found, sent: bytes) -> str:
    """A file's content, byte for byte."""
    shown = found[0][0]
    return (
        "" if (shown.encode() if isinstance(shown, str) else shown) == sent else f"{shown!r:.200} and not {sent!r:.200}"
    )


def _lines(found: Found, text: str) -> str:
    text = text.lstrip("\r\n")
    first = re.split("[\r\n]", text, maxsplit=1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        header, *lines = [line for line in reader if line] or [[]]
    except csv.Error as error:
        return f"{len(found)} rows out of no CSV: {error}" if found else ""
    names = _names(header)
    shown = (
        names if len(first) <= 10_000 else _names(first[:10_000].split(delimiter))
    )  # a header is read as far as that
    if not {*shown} & {*RESULT, *OTHER_NAMES.values(), *MORE_METRICS}:
        return f"{len(found)} rows of what has no metric" if found else ""
    if len(found) != len(lines):
        return f"{len(found)} rows of {len(lines)} lines"
    for row, cells in zip(found, lines, strict=True):
        line = dict(zip(names, cells, strict=False))
        for (name, kind), shown in zip(RESULT.items(), row, strict=True):
            cell = line[name] if name in line else line.get(OTHER_NAMES.get(name, name))
            wanted = _number(cell, whole=kind == "whole")
            if shown != wanted:
                return f"{name} is {shown!r} and not {cell!r:.80}"
    return ""


def _names(header: list[str]) -> list[str]:
    return [re.sub("[ -]+", "_", name.strip().strip('"').strip().lower()) for name in header]


def _number(cell: str | None, *, whole: bool) -> float | None:
    if cell is None or not NUMBER.fullmatch(cell.strip()) or not math.isfinite(float(cell)):
        return None
    value = float(cell)
    if not whole and value == -1:
        return None
    return None if whole and (not value.is_integer() or abs(value) >= 2**63) else value


def _row(row: Sequence[Any], sent: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    for (name, kind), shown in zip(columns.items(), row, strict=True):
        value = (
            _hidden(sent) if kind == "raw" else sent[name] if name in sent else sent.get(OTHER_NAMES.get(name, name))
        )
        if not _right(kind, shown, value):
            return f"{row[0]!r:.80}: {name} is {shown!r:.200} and not {value!r:.200}"
    return ""


def _right(kind: str, shown: Any, sent: Any) -> bool:
    """Whether a column of that kind shows what was sent."""
    if kind == "raw":
        return _same(json.loads(shown), sent)
    if kind == "error" and (sent == "" or (isinstance(sent, dict) and all(one is None for one in sent.values()))):
        return shown is None
    if kind == "metadata" and isinstance(sent, dict):
        sent = {key: value for key, value in sent.items() if key != "ftsql_key"}
        return shown is None if not sent and shown is None else _same(json.loads(shown), sent)
    if sent is None:
        return shown is None
    if kind == "text":
        fits = isinstance(sent, (str, int, float)) and not isinstance(sent, bool)
        return bool(shown == _text(sent)) if fits else shown is None
    if kind == "integer":
        whole = _whole(sent)
        return shown is None if whole is None else type(shown) is int and shown == whole
    if kind == "time":
        return bool(shown == _time(sent))
    if isinstance(sent, (int, float)) and not isinstance(sent, bool):
        huge = isinstance(sent, int) and not -(2**63) <= sent < 2**63
        return bool(shown == str(sent)) if huge else _same(shown, sent) or shown == sent
    return _same(json.loads(shown), sent)


def _text(sent: Any) -> str:
    return sent if isinstance(sent, str) else str(sent)


def _whole(sent: Any) -> int | None:
    """A whole number of 64 bits, as a number or a text; any other value is not shown."""
    if isinstance(sent, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", sent):
        sent = int(sent)
    if isinstance(sent, bool) or not isinstance(sent, (int, float)) or sent != sent or abs(sent) == math.inf:
        return None
    return int(sent) if sent == int(sent) and -(2**63) <= sent < 2**63 else None


def _time(sent: Any) -> int | None:
    """Seconds from 1970 to 2200, from s, ms, µs, ns or ISO; any other value is not shown."""
    if isinstance(sent, str):
        if re.fullmatch(rf"\s*{NUMBER.pattern}\s*", sent):
            sent = float(sent)
        else:
            try:
                moment = datetime.datetime.fromisoformat(sent)
            except ValueError:
                return None
            sent = int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())
    if isinstance(sent, bool) or not isinstance(sent, (int, float)) or not 0 < sent < 1e20:
        return None
    for limit, unit in ((1e17, 10**9), (1e14, 10**6), (1e11, 1000)):
        if sent > limit:
            sent = sent // unit
            break
    return int(sent) if 1 <= sent < 7_258_118_400 else None


def _hidden(sent: Any) -> Any:
    """What raw has where a server gives the key back as a whole text."""
    if isinstance(sent, str):
        return "***" if sent in (KEY, f"Bearer {KEY}") else sent
    if isinstance(sent, dict):
        return {_hidden(name): _hidden(value) for name, value in sent.items()}
    return [_hidden(each) for each in sent] if isinstance(sent, list) else sent


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(json.dumps(json.loads(body)), object_pairs_hook=_mended)
    except (ValueError, RecursionError):
        return None


def _mended(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose texts have U+FFFD for halves of characters, which SQLite has not."""

    def mended(value: Any) -> Any:
        if isinstance(value, str):
            return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)
        return [mended(each) for each in value] if isinstance(value, list) else value

    return {mended(name): mended(value) for name, value in pairs}


def _same(shown: Any, sent: Any) -> bool:
    """Equal as JSON; NaN and Infinity, which JSON has not, are shown as null."""
    if isinstance(sent, float) and not math.isfinite(sent):
        return shown is None
    if isinstance(sent, dict):
        return isinstance(shown, dict) and shown.keys() == sent.keys() and all(_same(shown[k], sent[k]) for k in sent)
    if isinstance(sent, list):
        return isinstance(shown, list) and len(shown) == len(sent) and all(map(_same, shown, sent))
    return type(shown) is type(sent) and bool(shown == sent)


def object_of(body: bytes | None) -> dict[str, Any]:
    """The object that a body is; an empty one where it is none."""
    decoded = None if body is None else _decoded(body)
    return decoded if isinstance(decoded, dict) else {}


def shown_text(sent: Any) -> str | None:
    """A value as a column of texts shows it."""
    return None if sent is None else _text(sent)
