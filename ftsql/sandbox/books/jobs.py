"""The jobs in the books: create, list and read jobs, and decide about them.

A decision is a cancel, a pause or a resume. Each read first stores the final state of jobs that have finished, so that
only unfinished jobs have to be computed.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import apsw

from ftsql.sandbox.books.dataset import inspect_examples
from ftsql.sandbox.books.files import Files
from ftsql.sandbox.books.lifecycle import ALLOWED, DECIDED, FINAL, Job, Life, render
from ftsql.sandbox.books.plans import ORGANIZATION, new_life, past_life, random_token

FAILING = 0.04  # the share of created jobs that fail although their files are valid
SERVER_ERROR = {"code": "server_error", "message": "The job failed due to an internal error.", "param": None}
NEWEST = "created_at DESC, seq DESC"
OLDEST = "created_at, seq"


class NotAllowed(Exception):
    """The job's status does not allow the decision. The error's message is the job's status."""


class UnknownCursor(Exception):
    """``after`` is not the id of a job."""


class Jobs:
    """All jobs of a sandbox. Times are Unix seconds. Use this class inside a transaction of the books."""

    def __init__(self, db: apsw.Connection, files: Files, seed: int, speed: float) -> None:
        self._db = db
        self._files = files
        self._seed = seed
        self._speed = speed

    def create(self, fields: Mapping[str, Any]) -> Job:
        """Create a job from fields that a face has checked, and return it.

        ``fields``: the fields that the job shows. A seed of None is replaced with a random one. The value ``...``
        leaves a field out.
        """
        now = time.time()
        rng = self._random("created")
        job = new_job(f"ftjob-{random_token(rng)}", int(now), rng.randrange(2**31))
        job |= {name: value for name, value in fields.items() if name != "seed" or value is not None}
        job = {name: value for name, value in job.items() if value is not ...}
        while self._db.execute("SELECT 1 FROM jobs WHERE id = ?", (job["id"],)).get:
            job["id"] = f"ftjob-{random_token(rng)}"
        examples, error = self._inspect_files(job)
        if error is None and rng.random() < FAILING:
            error = SERVER_ERROR
        life = new_life(rng, job, examples, error, now, self._speed)
        self.put(job, life, accepted=now)
        return render(job, life, now)

    def _random(self, what: str) -> random.Random:
        """Return the random number generator for the next job."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").get
        return random.Random(f"{self._seed}/{what}/{last or 0}")

    def _inspect_files(self, job: Job) -> tuple[int, dict[str, Any] | None]:
        """Return the number of training examples, and the error if one of the job's files is invalid."""
        kind = (job.get("method") or {}).get("type", "supervised")
        content = self._files.content(job["training_file"]) or b""
        examples, error = inspect_examples(content, kind, "training_file")
        if error is None and job.get("validation_file"):
            validation = self._files.content(job["validation_file"]) or b""
            _, error = inspect_examples(validation, kind, "validation_file")
        return examples, error

    def put(self, job: Job, life: Life, *, accepted: float, active: bool = True) -> None:
        """Store a job. If it is ``active``, ``job`` is its state right after its creation, and changes with its life.

        Otherwise the job stays as given.
        """
        ends = life.ends() if active else None
        self._db.execute(
            "INSERT INTO jobs(id, accepted, ends, active, life, job) VALUES (?, ?, ?, ?, ?, ?)",
            (job["id"], accepted, ends, active, _dump_life(life), dumps(job)),
        )

    def add(self, fields: Mapping[str, Any]) -> Job:
        """Add a job that does not change by itself. ``fields`` override the fields of a valid job.

        The value ``...`` leaves a field out. Raises ValueError if there is a job with that id.
        """
        now = time.time()
        rng = self._random("added")
        job = new_job(f"ftjob-{random_token(rng)}", int(now), rng.randrange(2**31))
        status = fields.get("status", "succeeded")
        job |= {name: fields[name] for name in ("id", "created_at", "model", "training_file") if name in fields}
        if self._db.execute("SELECT 1 FROM jobs WHERE id = ?", (job["id"],)).get:
            raise ValueError(f"there is a job {job['id']} already")
        base = {**job, "id": str(job["id"]), "created_at": _number(job["created_at"], int(now))}
        error = SERVER_ERROR if status == "failed" else None
        life = past_life(rng, {**base, "model": str(job["model"])}, str(status), now, 0.0, 100, error)
        if "training_file" not in fields:
            self._files.add_examples(base["training_file"], base["created_at"] - 60, "data.jsonl", 100, "supervised")
        shown = {**render(base, life, life.anchor), **fields}
        self._add_result_file(shown, life)
        shown = {name: value for name, value in shown.items() if value is not ...}
        self.put(shown, life, accepted=min(now, base["created_at"]), active=False)
        return shown

    def update(self, job_id: str, fields: Mapping[str, Any]) -> Job | None:
        """Override fields of a job, which then no longer changes by itself. Return it, or None if there is none."""
        job = self.get(job_id)
        if job is None:
            return None
        job = {name: value for name, value in {**job, **fields}.items() if value is not ...}
        self._db.execute(
            "UPDATE jobs SET id = ?, job = ?, active = 0, ends = NULL WHERE id = ?", (job["id"], dumps(job), job_id)
        )
        return job

    def remove(self, job_id: str) -> bool:
        """Remove a job. Return whether there was such a job."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        return bool(self._db.changes())

    def get(self, job_id: str) -> Job | None:
        """Return the job in its present state, or None if there is no such job."""
        self.store_finished()
        row: Any = self._db.execute("SELECT job, active, life FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            return None
        job: Job = json.loads(row[0])
        return render(job, _load_life(row[2]), time.time()) if row[1] else job

    def with_life(self, job_id: str) -> tuple[Job, Life] | None:
        """Return the job and its life, which determines its events and checkpoints; None if there is no such job."""
        job = self.get(job_id)
        if job is None:
            return None
        return job, _load_life(self._db.execute("SELECT life FROM jobs WHERE id = ?", (job_id,)).get)

    def page(
        self,
        after: str | None = None,
        limit: int | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        without_metadata: bool = False,
        oldest_first: bool = False,
        accepted_by: float | None = None,
    ) -> tuple[list[str], bool]:
        """Return the jobs after a cursor as JSON, newest first, and whether there are more.

        Among jobs created in the same second, the one added last comes first. ``metadata``: only jobs with all these
        pairs. ``without_metadata``: only jobs without metadata. ``accepted_by``: only jobs accepted by that Unix time.
        Raises UnknownCursor if ``after`` is not the id of a job.
        """
        self.store_finished()
        where, bindings = ["true"], list[Any]()
        if after is not None:
            where.append(f"(created_at, seq) {'>' if oldest_first else '<'} (?, ?)")
            bindings += self._cursor(after)
        for pair in (metadata or {}).items():
            where.append("EXISTS (SELECT 1 FROM json_each(metadata) WHERE (key, value) = (?, ?))")
            bindings += pair
        if without_metadata:
            where.append("(metadata IS NULL OR metadata IN ('null', '{}'))")
        if accepted_by is not None:
            where.append("accepted <= ?")
            bindings.append(accepted_by)
        bindings.append(-1 if limit is None else limit + 1)
        rows: list[Any] = self._db.execute(
            f"SELECT job, active, life FROM jobs WHERE {' AND '.join(where)} "
            f"ORDER BY {OLDEST if oldest_first else NEWEST} LIMIT ?",
            bindings,
        ).fetchall()
        more = limit is not None and len(rows) > limit
        now = time.time()
        texts = [
            dumps(render(json.loads(job), _load_life(life), now)) if active else job
            for job, active, life in rows[:limit]
        ]
        return texts, more

    def _cursor(self, job_id: str) -> tuple[int, int]:
        """Return the sort key of a job. Raises UnknownCursor if there is no such job."""
        found: Any = self._db.execute("SELECT created_at, seq FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if found is None:
            raise UnknownCursor(job_id)
        created_at, seq = found
        return created_at, seq

    def decide(self, job_id: str, what: str) -> Job | None:
        """Cancel, pause or resume a job, and return it, or None if there is no such job.

        Raises NotAllowed if the job's status forbids the decision.
        """
        job = self.get(job_id)
        if job is None:
            return None
        if job["status"] not in ALLOWED[what]:
            raise NotAllowed(job["status"])
        now = time.time()
        row: Any = self._db.execute("SELECT life, active FROM jobs WHERE id = ?", (job_id,)).fetchone()
        life, active = _load_life(row[0]).with_decision(what, now), row[1]
        if not active:
            changes = {"status": DECIDED[what], "finished_at": int(now) if what == "cancel" else job.get("finished_at")}
            self._db.execute("UPDATE jobs SET life = ? WHERE id = ?", (_dump_life(life), job_id))
            return self.update(job_id, changes)
        self._db.execute("UPDATE jobs SET life = ?, ends = ? WHERE id = ?", (_dump_life(life), life.ends(), job_id))
        return self.get(job_id)

    def store_finished(self) -> None:
        """Store the final state of the jobs that have finished, and their result files."""
        now = time.time()
        over: list[Any] = self._db.execute("SELECT job, life FROM jobs WHERE ends <= ?", (now,)).fetchall()
        for text, written in over:
            life = _load_life(written)
            job = render(json.loads(text), life, now)
            if job["status"] not in FINAL:  # because of a rounding error, the job has not quite ended
                continue
            self._add_result_file(job, life)
            self._db.execute("UPDATE jobs SET job = ?, active = 0, ends = NULL WHERE id = ?", (dumps(job), job["id"]))

    def _add_result_file(self, job: Job, life: Life) -> None:
        if job["status"] == "succeeded" and life.plan["result_file"] in (job.get("result_files") or ()):
            self._files.add_result(job, life)

    def change_speed(self, speed: float, now: float) -> None:
        """Change how fast unfinished jobs progress from now on."""
        self.store_finished()
        active: list[Any] = self._db.execute("SELECT id, life FROM jobs WHERE active").fetchall()
        for job_id, text in active:
            life = _load_life(text).with_speed(speed, now)
            self._db.execute("UPDATE jobs SET life = ?, ends = ? WHERE id = ?", (_dump_life(life), life.ends(), job_id))


def new_job(job_id: str, created_at: int, seed: int) -> Job:
    """Return a supervised job in its state right after its creation."""
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    return {
        "object": "fine_tuning.job",
        "id": job_id,
        "model": "gpt-4o-mini-2024-07-18",
        "created_at": created_at,
        "finished_at": None,
        "fine_tuned_model": None,
        "organization_id": ORGANIZATION,
        "result_files": [],
        "status": "validating_files",
        "validation_file": None,
        "training_file": "file-sandboxtraining",
        "hyperparameters": auto,
        "trained_tokens": None,
        "error": None,
        "user_provided_suffix": None,
        "seed": seed,
        "estimated_finish": None,
        "integrations": [],
        "metadata": None,
        "usage_metrics": None,
        "shared_with_openai": False,
        "method": {"type": "supervised", "supervised": {"hyperparameters": auto}},
    }


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, (int, float)) else default


def dumps(value: object) -> str:
    """Return JSON without spaces. The books store JSON in this form, and the faces send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _dump_life(life: Life) -> str:
    return dumps(asdict(life))


def _load_life(text: str) -> Life:
    return Life(**json.loads(text))
