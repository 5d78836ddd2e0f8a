"""The interrupt campaign: Ctrl-C at random moments of listings, writes, events and syncs, and all works on.

Half of the moments are of the command ``ftsql``, a process each; half are of one process's connections, which are
interrupted again and again.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftsql.sandbox import Fault
from tests.campaign.faults import Result, Settled, summed
from tests.campaign.interrupted import LATE, TIMES, WAYS, Figures, Interruptions
from tests.campaign.kills import outcome
from tests.campaign.model import Ledger, Row, Transaction
from tests.campaign.orders import started
from tests.campaign.promises import Promises
from tests.campaign.reads import Reads
from tests.campaign.snapshots import begin_anew, whole
from tests.campaign.standing import COLUMNS, Standing
from tests.campaign.victim import Log, Logged
from tests.campaign.world import FACES, FILES, World, connect

STANDING, ACTIVE = 450, 15
LANES = 2  # commands side by side
LATENCY = {"GET": 0.04, "POST": 0.08}
EARLY = 0.1  # of the moments are from the very start on, when Python imports
PATIENCE = 30.0  # seconds in which a command must end
EVERY = "0.3"
BEGAN = re.compile(r'ftsql/command\.py", line \d+, in main|Exception ignored')
COMMANDS = ("listing", "cold listing", "INSERT", "transaction", "events", "sync", "sync --every")


@dataclass
class Interrupts:
    """What was interrupted, ``counts`` by kind and way, and what was wrong."""

    counts: Counter[str]
    books: Result
    wrong: list[str]
    processes: list[Figures] = field(default_factory=list)
    left: int = 0  # jobs that the journal left to the user

    def landed(self, way: str = "") -> int:
        return sum(count for name, count in self.counts.items() if name.endswith("landed") and way in name)

    @property
    def moments(self) -> int:
        return sum(count for name, count in self.counts.items() if name.endswith(("landed", "came late", "it began"))
                   and "nothing" not in name)  # fmt: skip

    def __str__(self) -> str:
        ways = ", ".join(f"{way} {self.landed(way)}" for way in ("command", *WAYS))
        books = self.books
        return (
            f"{self.moments} moments, {self.landed()} landed ({ways}), {books.transactions} transactions interrupted or "
            f"not, {books.rows} rows, {books.outcomes['rows committed']} committed, {self.left} left to the user, "
            f"{books.seconds:.0f} s, {len(self.wrong)} wrong"
        )


class Campaign:
    """``moments`` of each kind, of ``commands`` and of connections half each; ``jobs`` never change meanwhile.

    ``lanes``: commands that run side by side.
    """

    def __init__(
        self,
        moments: int,
        seed: int,
        folder: Path,
        *,
        commands: Sequence[str] = COMMANDS,
        jobs: int = STANDING,
        lanes: int = LANES,
    ) -> None:
        self.moments = moments
        self.commands = commands
        self.jobs = jobs
        self.lanes = lanes
        self.seed = seed
        self.folder = folder
        self.store = folder / "interrupts.store"
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def run(self) -> Interrupts:
        ledger = Ledger(0)
        result = Result("interrupts")
        with World(FACES["openai"], self.seed, {}) as world:
            self.world = world
            self.standing = Standing.put(world.sandbox, int(time.time()) - 3 * 86_400, self.jobs, ACTIVE)
            world.arm({name: Fault(method=name, times=None, latency=seconds) for name, seconds in LATENCY.items()})
            names = ["i0", *(f"l{lane}" for lane in range(self.lanes))]
            self.logs = [self.folder / f"{name}.log" for name in names]
            process = self._start(names[0])
            lanes = [threading.Thread(target=self._lane, args=(number,)) for number in range(self.lanes)]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()
            said, errors = process.communicate()
            self.wrong += [f"i0: {process.returncode}: {errors[-4000:]}"] * bool(process.returncode or errors)
            figures = [Figures(**json.loads(said))] if said else []
            result.hits = world.calm_down()
            left = self._settle(world, ledger, result)
        for one in figures:
            self.counts.update(one.counts)
            self.wrong += one.wrong
        self.wrong += [str(violation) for violation in result.violations]
        return Interrupts(self.counts, summed(result, ledger), self.wrong, figures, left)

    def _start(self, name: str) -> subprocess.Popen[str]:
        order = Interruptions(
            name, self.seed, str(self.folder), str(self.store), [str(path) for path in self.logs],
            self.world.variables(), self.standing.as_json(), self.moments // 2,
        )  # fmt: skip
        return started("interrupted", order)

    def _settle(self, world: World, ledger: Ledger, result: Result) -> int:
        """What became of all transactions; gives how many jobs the journal left to the user."""
        transactions = [one for path in self.logs for one in Logged.read(path).transactions]
        settled = Settled(world, self.folder, self.store, TIMES)
        journal = settled.journal
        left = {world.tags.get(id) for id in settled.by_hand}
        for transaction in transactions:
            if transaction.outcome == "killed":  # it was interrupted, and the journal says whether it stands
                stands = [outcome(journal, row) for row in transaction.kept]
                if len(set(stands)) > 1:
                    self.wrong.append(f"half a transaction stands: {transaction.describe()}")
                transaction.outcome = stands[0]
            ledger.add(transaction)
            if left & {row.tag for row in transaction.kept}:
                self.counts[f"left to the user: {transaction.error}"] += 1
                if not transaction.error.startswith("line"):  # a signal hardly ever finds one of the lines that matter
                    self.wrong.append(f"left to the user: {transaction.describe()}")
        settled.into(result, transactions)
        db = connect("openai", Path(":memory:"), self.store, TIMES)
        shown = db.execute("SELECT id, status FROM fine_tuning_jobs").fetchall()
        db.close()
        if Counter(shown) != Counter((job["id"], job["status"]) for job in world.sandbox.jobs()):
            self.wrong.append("at the end: the list is not what the books say")
        return len(settled.by_hand)

    def _lane(self, number: int) -> None:
        name = f"l{number}"
        rng = random.Random(f"{self.seed}/{name}")
        lane = Lane(self, name, rng)
        kinds = [kind for kind in self.commands for _ in range(self._share(number))]
        rng.shuffle(kinds)
        try:
            for kind in kinds:
                lane.moment(kind)
        except BaseException:
            self.say([f"crash: {traceback.format_exc()}"])

    def _share(self, lane: int) -> int:
        """How often a lane runs a command: half of the moments, in all."""
        half = self.moments - self.moments // 2
        return half // self.lanes + (lane < half % self.lanes)

    def say(self, wrong: list[str]) -> None:
        with self._lock:
            self.wrong += wrong

    def count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1


class Lane:
    """Commands one after the other, each interrupted once, and a look at what it left."""

    def __init__(self, campaign: Campaign, name: str, rng: random.Random) -> None:
        self.campaign = campaign
        self.name = name
        self.rng = rng
        self.ledger = Log(0, str(campaign.folder / f"{name}.log"))
        self.promises = Promises(campaign.logs)
        self.snapshot = campaign.folder / f"{name}.snapshot.db"
        self.takes: dict[str, float] = {}
        self.written = 0
        known = {**campaign.world.variables(), "FTSQL_STORE": str(campaign.store), "FTSQL_SETTLE_SECONDS": "3"}
        self.environment = {**os.environ, **known}

    def moment(self, kind: str) -> None:
        if not self.takes:
            self.takes["start"] = self._run("start", None)
        if kind not in self.takes:
            self.takes[kind] = self._run(kind, None)
        begins = 0.0 if self.rng.random() < EARLY else self.takes["start"]
        moment = self.rng.uniform(begins, max(begins, LATE * self.takes[kind]))
        self.takes[kind] = max(self._run(kind, moment), self.takes["start"] + 0.1)

    def _run(self, kind: str, moment: float | None) -> float:
        """Run a command, interrupt it at ``moment``, and compare; gives the seconds that it takes, as far as is known."""
        campaign = self.campaign
        if kind == "sync" and self.rng.random() < 0.5:
            begin_anew(self.snapshot)
        began = time.monotonic()
        words, transaction = self._words(kind)
        process = subprocess.Popen(
            [sys.executable, "-m", "ftsql", *words],
            env=self.environment, cwd=campaign.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            said, errors = process.communicate(timeout=2.0 if moment is None and kind == "sync --every" else moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                said, errors = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                said, errors = process.communicate()
                campaign.say([f"{kind}: it did not end within {PATIENCE:g} s: {errors[-2000:]}"])
        took = time.monotonic() - began
        code = process.returncode
        ended = code in (130, -signal.SIGINT) or (kind == "sync --every" and code == 0)
        early = "Traceback" in errors and not BEGAN.search(errors)  # Python was still importing
        wrong = [] if early or code in (0, 130, -signal.SIGINT) else [f"exit code {code}: {errors[-1500:]}"]
        if "Traceback" in errors and not early:
            wrong.append(f"a traceback: {errors[-3000:]}")
        if code == 0 and kind.endswith("listing"):
            count = len(said.splitlines()) - 1
            wrong += [f"{count} rows"] * (count < campaign.standing.count)
        if transaction is not None:
            transaction.outcome = "committed" if code == 0 else "killed"
            self.ledger.add(transaction)
        way = "nothing" if moment is None else "command"
        became = "landed before it began" if early else "landed" if ended else "came late"
        campaign.count(f"{kind}, {way}: {became}")
        campaign.say([f"{self.name}: {kind}, {way}: {text}" for text in [*wrong, *self._afterwards(kind)]])
        return took if became == "came late" or moment is None else self.takes[kind]

    def _words(self, kind: str) -> tuple[list[str], Transaction | None]:
        if kind == "start":
            return ["SELECT 1"], None
        if kind.startswith("sync"):
            every = ["--every", EVERY] if kind == "sync --every" else []
            return ["sync", str(self.snapshot), "--tables", "jobs,events", *every], None
        if kind in ("INSERT", "transaction"):
            transaction = self._transaction(kind)
            values = [f"('{row.model}', '{row.file}', '{row.tag}')" for row in transaction.kept]
            into = "INSERT INTO fine_tuning_jobs (model, training_file, suffix) VALUES"
            if kind == "INSERT":
                return [f"{into} {', '.join(values)}"], transaction
            return [f"BEGIN; {'; '.join(f'{into} {one}' for one in values)}; COMMIT"], transaction
        if kind == "events":
            ids = json.dumps(list(self.campaign.standing.events))
            return [f"SELECT id FROM fine_tuning_job_events('{ids}')"], None
        store = ["--store", str(self.campaign.folder / f"{self.name}.{self.rng.random()}.store")]
        return [*(store if kind == "cold listing" else []), f"SELECT {COLUMNS} FROM fine_tuning_jobs"], None

    def _transaction(self, kind: str) -> Transaction:
        rows = []
        for _ in range(3):
            self.written += 1
            rows.append(Row(f"{self.name}-{self.written}", "gpt-4o-mini", self.rng.choice(FILES), None, True))
        return Transaction(kind, kept=rows)

    def _afterwards(self, kind: str) -> list[str]:
        """Whether the store can be used, and the file is a whole round."""
        campaign = self.campaign
        db = connect("openai", Path(":memory:"), campaign.store, TIMES)
        try:
            wrong = Reads(db, campaign.standing, self.promises, self.rng).any()()
        finally:
            db.close()
        return wrong + (whole(self.snapshot, campaign.standing) if kind.startswith("sync") else [])
