"""The kill campaign: processes that write are killed at random moments, and what they left is settled.

Opening the store and settling it must send nothing that costs; only a user who is told of a job cancels it.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.campaign.check import CRASH, OPEN, Check, Journal, Violation, secrets
from tests.campaign.faults import Result, summed
from tests.campaign.model import Ledger, Outcome, Row, Transaction
from tests.campaign.victim import Logged, Order, Template
from tests.campaign.world import FACES, World, connect, mild

ABSENT = 3.0  # more than a second, what is slow and what lags together
SETTINGS = {"settle_seconds": 1.5, "absent_seconds": ABSENT}
ARRIVES = 0.3  # seconds in which what a killed process sent has arrived
TAGS = 100  # more than a victim comes to
SENT_BY_ITSELF = "sent by opening or settling"


class Kills:
    """``kills`` in lanes that run side by side, each with a store of its own that its victims share in turn."""

    def __init__(
        self, kills: int, seed: int, folder: Path, *, face: str = "openai", lanes: int = 14, mutation: str = ""
    ) -> None:
        self.wanted = kills
        self.seed = seed
        self.folder = folder
        self.face = FACES[face]
        self.lanes = lanes
        self.mutation = mutation
        self.result = Result(f"kills {face}")
        self.kills = 0
        self.promised = 0  # rows whose COMMIT had returned
        self.interrupted: Counter[str] = Counter()  # states in which the kills left the creates
        self._lock = threading.Lock()
        self._busy = 0  # turns under way
        self._stop = threading.Event()
        self._ledger = Ledger(0)

    def run(self) -> Result:
        template = Template()
        try:
            with World(self.face, self.seed, mild(self.face)) as world:
                lanes = [
                    threading.Thread(target=self._lane, args=(world, template, number)) for number in range(self.lanes)
                ]
                for lane in lanes:
                    lane.start()
                for lane in lanes:
                    lane.join()
                self.result.hits = world.calm_down()
                self._compare(world)
        finally:
            template.close()
        return summed(self.result, self._ledger)

    def _lane(self, world: World, template: Template, lane: int) -> None:
        rng = random.Random(f"{self.seed}/lane/{lane}")
        store = self.folder / f"lane-{lane}.store"
        turn = 0
        try:
            while not self._stop.is_set():
                with self._lock:
                    if self.kills + self._busy >= self.wanted:
                        break
                    self._busy += 1
                turn += 1
                self._turn(world, template, rng, f"k{lane}.{turn}", store)
                with self._lock:
                    self._busy -= 1
        except BaseException:
            self._say([Violation(CRASH, f"lane {lane}", traceback.format_exc())])
            self._stop.set()
        self._say(secrets(store))

    def _turn(self, world: World, template: Template, rng: random.Random, name: str, store: Path) -> None:
        """Kill one process, or two that write through one store, the second while the first one's mess is settled."""
        names = [name] if rng.random() < 0.6 else [f"{name}a", f"{name}b"]
        victims = [template.start(self._order(world, victim, store)) for victim in names]
        for victim, pid in zip(names, victims, strict=True):
            end = time.monotonic() + 20
            while victim not in world.writers and time.monotonic() < end:
                world.read()
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.6))
            template.kill(pid)
            if victim != names[-1]:
                connect(self.face.name, self.folder / f"{name}.between.db", store, SETTINGS).close()
        logs = [Logged.read(self.folder / f"{victim}.log") for victim in names]
        if crashes := "".join(logged.crash for logged in logs):
            raise AssertionError(crashes)
        time.sleep(ARRIVES)
        self._after(world, logs, names, store)

    def _order(self, world: World, name: str, store: Path) -> Order:
        if not self.face.suffix:
            for number in range(1, TAGS):
                world.add_file(f"{name}-{number}")
        return Order(
            name=name,
            face=self.face.name,
            seed=self.seed,
            folder=str(self.folder),
            store=str(store),
            log=str(self.folder / f"{name}.log"),
            variables=world.variables(),
            rows=TAGS - 20,
            most=3,
            mutation=self.mutation,
            settings=SETTINGS,
        )

    def _after(self, world: World, logs: list[Logged], names: list[str], store: Path) -> None:
        """Reopen the store, settle, do what a user does who is told of a job, and compare."""
        before = len(world.sandbox.requests)
        db = connect(self.face.name, self.folder / f"{names[0]}.end.db", store, SETTINGS)
        try:
            left = Counter(str(state) for (state,) in db.execute(STATES).fetchall())
            time.sleep(ABSENT + 2)  # the journal has whole seconds
            db.ftsql.settle()
            self._say(self._posts(world, before, names[0]))
            by_hand = 0
            for (id,) in db.execute(CREATED).fetchall():
                db.execute("SELECT cancel_job(?)", (id,)).fetchall()
                by_hand += 1
            journal = Journal.read(db, world)
        finally:
            db.close()
        world.read()
        ended = [transaction for logged in logs for transaction in logged.transactions]
        known = {row.tag for transaction in ended for row in transaction.rows}
        mine = tuple(f"{name}-" for name in names)
        for tag in [tag for tag in list(world.seen) if tag.startswith(mine) and tag not in known]:
            row = self._unlogged(world, tag)
            ended.append(Transaction("killed", kept=[row], outcome=outcome(journal, row)))
        found = Check(world, journal, final=True).transactions(ended)
        lines = [line for tag, lines in journal.creates.items() if tag.startswith(mine) for line in lines]
        if undecided := {"queued", "sent", "created"} & {line.state for line in lines}:
            found.append(Violation(OPEN, names[0], f"after settling the journal says {', '.join(undecided)}"))
        found += journal.undecided
        for transaction in ended:
            self._ledger.add(transaction)
        with self._lock:
            self.kills += len(names)
            self.interrupted += left
            self.promised += sum(
                len(one.kept) for log in logs for one in log.transactions if one.outcome == "committed"
            )
            self.result.found_again += sum(line.job_id is not None and line.http_status is None for line in lines)
            self.result.cancelled_by_hand += by_hand
            self.result.unknown_left += sum(line.state == "unknown" for line in lines)
            self._ledger.surprises.update(text for log in logs for text in log.surprises)
            if sys.stderr.isatty():
                print(f"\r{self.kills} kills ", end="", file=sys.stderr, flush=True)
        self._say(found)

    def _posts(self, world: World, before: int, name: str) -> list[Violation]:
        """What opening and settling sent for the victim's rows."""
        world.read()
        lane = name.partition(".")[0] + "."
        found = []
        for record in world.sandbox.requests[before:]:
            if record.method != "POST":
                continue
            cancels = record.path.endswith("/cancel")
            tag = world.tags.get(record.path.split("/")[-2]) if cancels else world.tag_in(json.loads(record.body))
            if tag is not None and tag.startswith(lane):
                found.append(Violation(SENT_BY_ITSELF, tag, f"{record.method} {record.path}"))
        return found

    def _unlogged(self, world: World, tag: str) -> Row:
        """The row of a transaction that had not ended when its process was killed."""
        body = json.loads(world.seen[tag].posts[0].body)
        own_seed = "metadata" in body or body.get("seed", 9) < 4
        return Row(tag, body["model"], body["training_file"], None, self.face.fingerprinted(own_seed))

    def _compare(self, world: World) -> None:
        """All that every victim did once more, with the books themselves."""
        status = {job["id"]: job["status"] for job in world.sandbox.jobs()}
        journal = Journal()
        for lane in range(self.lanes):
            store = self.folder / f"lane-{lane}.store"
            if store.exists():
                db = connect(self.face.name, self.folder / "all.db", store, SETTINGS)
                journal.add(Journal.read(db, world))
                db.close()
        self._say(Check(world, journal, final=True, status=status).transactions(self._ledger.transactions))

    def _say(self, violations: list[Violation]) -> None:
        with self._lock:
            if violations and self.result.caught is None:
                self.result.caught = (self._ledger.rows, len(self._ledger.transactions), self._ledger.seconds())
            self.result.violations += violations
            if violations and self.mutation:
                self._stop.set()


STATES = "SELECT state FROM ftsql_writes WHERE action = 'create' AND state IN ('queued', 'sent', 'created', 'unknown')"
CREATED = "SELECT job_id FROM ftsql_writes WHERE action = 'create' AND state = 'created'"


def outcome(journal: Journal, row: Row) -> Outcome:
    """What became of a transaction whose process was killed: the journal may say either."""
    return "committed" if "committed" in journal.states(row.tag) else "killed"
