"""The places at which a server can lie: what is asked, and what an honest answer is.

They are found by asking: the last request of a place's SQL is the one that is lied to.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ftsql
from tests.campaign import expected
from tests.campaign.gateway import Gateway

Shape = Literal["list", "object", "results", "content", "create", "cancel"]

USED: dict[str, Any] = {"timeout": 20.0, "deadline": 30.0, "settle_seconds": 0.4, "max_body": 2_000_000}
SHORT: dict[str, Any] = {"timeout": 0.5, "deadline": 1.0}  # where the server is slow on purpose
FACES = ["openai", "azure", "portkey", "telnyx", "anyapi", "portkey_bedrock", "portkey_fireworks", "litellm"]
ALL = ("list", "get", "create", "cancel")
PLACES = {  # of the faces that serve more than jobs
    "openai": (*ALL, "events", "checkpoints", "permissions", "files", "file", "models", "results", "content"),
    "azure": (*ALL, "events", "checkpoints"),
    "anyapi": ("list", "create"),
    "portkey": ALL,
}
USUAL = ("list", "get")
MODEL = "gpt-4o-mini-2024-07-18"
FILE = "file-a"
MOST = 12  # objects of a list; of a longer one there are six


@dataclass(frozen=True)
class Place:
    """``path``: a regex of the request that is lied to; ``honest``: its right answer; ``id``: whose it is."""

    name: str
    shape: Shape
    sql: str
    path: str
    honest: bytes
    columns: Mapping[str, str]
    id: str

    @property
    def method(self) -> str:
        return "POST" if self.shape in ("create", "cancel") else "GET"

    @property
    def body(self) -> Any:
        """The honest answer, decoded; None for what is no JSON."""
        return None if self.shape in ("results", "content") else json.loads(self.honest)


def opened(gateway: Gateway, face: str, **settings: Any) -> ftsql.Connection:
    """A connection that asks the gateway, with a small bound."""
    return ftsql.connect(sandbox=gateway, providers=face, **{**USED, **settings})


def places(gateway: Gateway, face: str) -> list[Place]:
    """The places that a face has."""
    jobs = {str(job["status"]): job for job in gateway.jobs()}
    done, running = jobs["succeeded"], jobs["running"]
    with contextlib.closing(opened(gateway, face)) as db:
        if face == "openai":
            grant = (
                "INSERT INTO fine_tuning_checkpoint_permissions (fine_tuned_model_checkpoint, project_id) VALUES (?, ?)"
            )
            db.executemany(grant, [(done["fine_tuned_model"], f"proj_{letter}") for letter in "abc"])
        ((newest,),) = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 1").fetchall()
    of_done, of_running = f"fine_tuning_job_id = '{done['id']}'", f"fine_tuning_job_id = '{running['id']}'"
    model, (result,) = str(done["fine_tuned_model"]), done["result_files"]
    asks: dict[str, tuple[Shape, str, Mapping[str, str], str]] = {
        "list": ("list", "fine_tuning_jobs", expected.JOB, ""),
        "get": ("object", f"fine_tuning_jobs WHERE id = '{newest}'", expected.JOB, str(newest)),
        "events": ("list", f"fine_tuning_job_events WHERE {of_running}", expected.EVENT, running["id"]),
        "checkpoints": ("list", f"fine_tuning_job_checkpoints WHERE {of_done}", expected.CHECKPOINT, done["id"]),
        "permissions": ("list", f"fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = '{model}'", expected.PERMISSION, model),
        "files": ("list", "files", expected.FILE, ""),
        "file": ("object", f"files WHERE id = '{result}'", expected.FILE, result),
        "models": ("list", "models", expected.MODEL, ""),
        "results": ("results", f"fine_tuning_results WHERE {of_done}", expected.RESULT, result),
    }  # fmt: skip
    found = []
    for name in PLACES.get(face, USUAL):
        if name in ("create", "cancel"):
            found.append(_write("create" if name == "create" else "cancel", face))
        elif name == "content":
            found.append(_asked(gateway, face, name, "content", f"SELECT file_content('{result}')", {}, result))
        else:
            shape, rest, columns, id = asks[name]
            found.append(_asked(gateway, face, name, shape, f"SELECT {', '.join(columns)} FROM {rest}", columns, id))
    return found


def _write(name: Shape, face: str) -> Place:
    """A write: its answer is mutated when it is there."""
    suffix = face in ("openai", "azure", "portkey")
    names, values = ("model, training_file, suffix", ", 'hostile'") if suffix else ("model, training_file", "")
    create = f"INSERT INTO fine_tuning_jobs ({names}) VALUES ('{MODEL}', '{FILE}'{values})"
    cancel = "SELECT cancel_job('{}')"
    path = "/jobs$" if name == "create" else "/cancel$"
    return Place(name, name, create if name == "create" else cancel, path, b"null", {}, "")


def _asked(
    gateway: Gateway, face: str, name: str, shape: Shape, sql: str, columns: Mapping[str, str], id: str
) -> Place:
    gateway.arm(None)
    with contextlib.closing(opened(gateway, face)) as db:
        rows = db.execute(sql).fetchall()
    last = gateway.asked[-1]
    honest = last.answer
    if shape == "list":
        page = json.loads(honest)
        assert rows, name
        if len(page["data"]) > MOST:
            page |= {"data": page["data"][:6], "last_id": page["data"][5]["id"], "has_more": False}
        honest = json.dumps(page).encode()
    return Place(name, shape, sql, f"{re.escape(last.path)}$", honest, columns, id)
