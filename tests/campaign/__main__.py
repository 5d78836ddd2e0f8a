"""The command line of the campaigns.

Exit code 1 says that a promise was broken, or a mutation not caught; the first tags are explained on stdout.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from ftsql.errors import Warning
from tests.campaign import (
    crowd,
    faults,
    hostile,
    interrupts,
    kills,
    lanes,
    lists,
    mutations,
    peers,
    readers,
    shells,
    statements,
    together,
)  # fmt: skip
from tests.campaign.world import FACES

ROUND = 1250  # rows in one set of books: a look-up reads all jobs of the last hour
MUTATED_ROWS = 3000
MUTATED_KILLS = 60
MUTATED_SERVERS = 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {
        "faults": commands.add_parser("faults", help="transactions of all shapes while everything fails at random"),
        "kills": commands.add_parser("kills", help="processes that write are killed at random moments"),
        "together": commands.add_parser("together", help="several processes write through one store"),
        "mutations": commands.add_parser("mutations", help="whether classic bugs are caught"),
        "peers": commands.add_parser("peers", help="a plain client through the same faults"),
        "readers": commands.add_parser("readers", help="readers of a snapshot while ftsql sync writes it"),
        "crowd": commands.add_parser("crowd", help="threads and processes read and write through one store"),
        "interrupts": commands.add_parser("interrupts", help="Ctrl-C at random moments of everything"),
        "hostile": commands.add_parser("hostile", help="answers that are broken, lie, or never end"),
        "servers": commands.add_parser("servers", help="lists of servers with habits at random"),
        "statements": commands.add_parser("statements", help="SQL at random for the shell and for ftsql serve"),
    }
    for name, rows in (("faults", 5000), ("together", 400), ("peers", 500)):
        parsers[name].add_argument("--rows", type=int, default=rows)
    for name, seconds in (("readers", 60.0), ("crowd", 300.0)):
        parsers[name].add_argument("--seconds", type=float, default=seconds)
    parsers["crowd"].add_argument("--threads", type=int, default=32, help="of the first process (32)")
    parsers["crowd"].add_argument("--processes", type=int, default=8)
    parsers["interrupts"].add_argument("--moments", type=int, default=200, help="of each kind of work (200)")
    parsers["hostile"].add_argument("--bodies", type=int, default=10_000)
    parsers["statements"].add_argument("--count", type=int, default=5000)
    parsers["servers"].add_argument("--servers", type=int, default=20_000)
    for name in ("hostile", "servers", "statements"):
        parsers[name].add_argument("--processes", type=int, default=os.cpu_count() or 1)
    for one in parsers.values():
        one.add_argument("--seed", type=int, default=1)
    for name in ("faults", "kills"):
        parsers[name].add_argument("--face", action="append", choices=FACES)
        parsers[name].add_argument("--mutation", choices=mutations.MUTATIONS, default="")
    parsers["faults"].add_argument("--workers", type=int, default=12)
    parsers["kills"].add_argument("--kills", type=int, default=200)
    arguments = parser.parse_args()
    run = {
        "faults": run_faults,
        "kills": run_kills,
        "together": run_together,
        "mutations": run_mutations,
        "peers": run_peers,
        "readers": run_readers,
        "crowd": run_crowd,
        "interrupts": run_interrupts,
        "hostile": run_hostile,
        "servers": run_servers,
        "statements": run_statements,
    }[arguments.command]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what it runs behind
    warnings.filterwarnings("ignore", category=Warning)  # that writes are open since earlier
    with tempfile.TemporaryDirectory() as name:
        return run(arguments, Path(name))


def run_faults(arguments: argparse.Namespace, folder: Path) -> int:
    faces = arguments.face or list(FACES)
    rounds = max(1, round(arguments.rows / ROUND))
    seeds = [arguments.seed * 1000 + number for number in range(rounds)]
    jobs = [(face, seed) for seed in seeds for face in faces]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), get_context("spawn")) as pool:
        running = [
            pool.submit(
                faults.one_round,
                face,
                -(-arguments.rows // rounds),
                seed,
                arguments.workers,
                arguments.mutation,
                folder,
            )
            for face, seed in jobs
        ]
        results: dict[str, faults.Result] = {}
        for (face, _), future in zip(jobs, running, strict=True):
            results[face] = results.get(face, faults.Result(face)) + future.result()
            progress(f"{sum(result.rows for result in results.values())} rows")
    print(faults.table(list(results.values())))
    return told(list(results.values()))


def run_kills(arguments: argparse.Namespace, folder: Path) -> int:
    results = []
    for face in arguments.face or ["openai"]:
        inside = folder / face
        inside.mkdir()
        campaign = kills.Kills(arguments.kills, arguments.seed, inside, face=face, mutation=arguments.mutation)
        results.append(campaign.run())
        print(f"{face}: {campaign.kills} kills, {campaign.promised} rows promised before; what they left, as the")
        print(f"    store said once it was opened again: {dict(campaign.interrupted)}")
    print(faults.table(results))
    return told(results)


def run_together(arguments: argparse.Namespace, folder: Path) -> int:
    results = [
        together.together(arguments.rows, arguments.seed, folder),
        together.limited(25, arguments.seed, folder),
    ]
    print(faults.table(results))
    return told(results)


def run_mutations(arguments: argparse.Namespace, folder: Path) -> int:
    print(f"{'mutation':18}{'campaign':10}{'caught by':34}{'rows':>7}{'transactions':>14}{'seconds':>9}", flush=True)
    missed = 0
    for name, (_, campaign) in mutations.MUTATIONS.items():
        if campaign == "servers":
            with mutations.applied(name):
                servers = lists.batch(MUTATED_SERVERS, arguments.seed, stop=True)
            missed += not servers.caught
            by = f"server {servers.caught}" if servers.caught else "NOTHING"
            print(f"{name:18}{campaign:10}{by:34}{'':>7}{servers.statements:>14}{servers.seconds:>9.1f}", flush=True)
            continue
        inside = folder / name
        inside.mkdir()
        result = mutated(name, campaign, arguments.seed, inside)
        missed += result.caught is None
        rows, transactions, seconds = result.caught or (result.rows, result.transactions, result.seconds)
        by = result.violations[0].kind if result.violations else "NOTHING"
        print(f"{name:18}{campaign:10}{by:34}{rows:>7}{transactions:>14}{seconds:>9.1f}", flush=True)
    return int(missed > 0)


def mutated(name: str, campaign: str, seed: int, folder: Path) -> faults.Result:
    """The campaign that is to catch a mutation, until it does."""
    if campaign == "kills":
        return kills.Kills(MUTATED_KILLS, seed, folder, mutation=name).run()
    with mutations.applied(name):
        return faults.Campaign("openai", MUTATED_ROWS, seed, folder, stop_early=True).run()


def run_peers(arguments: argparse.Namespace, folder: Path) -> int:
    shapes = ["autocommit"]
    ours = faults.Campaign("openai", arguments.rows, arguments.seed, folder, shapes=shapes, most=1).run()
    theirs = peers.plain(arguments.rows, arguments.seed)
    jobs = ours.outcomes["committed"]
    print("the plain client:", ", ".join(f"{name} {value:.4g}" for name, value in asdict(theirs).items()))
    print(
        f"ftsql: rows {ours.rows}, errors {ours.transactions - jobs}, doubles {ours.count('double')}, "
        f"unknown after settling {ours.unknown_left}, lost {ours.count('lost')}, "
        f"alive though it raised {ours.count('alive though rolled back')}, "
        f"cancelled by hand {ours.cancelled_by_hand}, found again by look-up {ours.found_again}, "
        f"seconds {ours.seconds:.4g}"
    )
    return told([ours])


def run_readers(arguments: argparse.Namespace, folder: Path) -> int:
    result = readers.readers(arguments.seconds, folder)
    print(result)
    return said(result.broken)


def run_crowd(arguments: argparse.Namespace, folder: Path) -> int:
    result = crowd.crowd(arguments.seconds, arguments.threads, arguments.processes, arguments.seed, folder)
    print(faults.table([result.books]))
    print(result)
    return said(result.wrong)


def run_interrupts(arguments: argparse.Namespace, folder: Path) -> int:
    result = interrupts.Campaign(arguments.moments, arguments.seed, folder).run()
    for name, count in sorted(result.counts.items()):
        print(f"{count:>6} {name}")
    print(result)
    return said(result.wrong)


def said(wrong: list[str]) -> int:
    """Print what was wrong, in words; gives the exit code."""
    for text in wrong[:20]:
        print(text)
    return int(bool(wrong))


def run_hostile(arguments: argparse.Namespace, folder: Path) -> int:
    total, began = lanes.Result(), time.monotonic()
    for result in hostile.campaign(arguments.bodies, arguments.seed, arguments.processes):
        total.add(result)
        progress(f"{total.bodies} bodies, {len(total.violations)} violations")
    total.seconds = time.monotonic() - began
    print(total)
    print(*total.violations[:50], sep="\n")
    return int(bool(total.violations))


def run_servers(arguments: argparse.Namespace, folder: Path) -> int:
    total, began = lists.Result(), time.monotonic()
    for result in lists.campaign(arguments.servers, arguments.seed, arguments.processes):
        total.add(result)
        progress(f"{total.servers} servers, {len(total.wrong)} wrong")
    total.seconds = time.monotonic() - began
    print(total)
    return said(total.wrong)


def run_statements(arguments: argparse.Namespace, folder: Path) -> int:
    totals = {name: shells.Result() for name in statements.TARGETS}
    for name, result in statements.campaign(arguments.count, arguments.seed, arguments.processes, folder):
        totals[name].add(result)
        progress(f"{sum(one.statements for one in totals.values())} statements")
    for name, total in totals.items():
        print(f"{name}:\n{total}")
        print(*total.violations[:50], sep="\n")
    return int(any(total.violations for total in totals.values()))


def progress(text: str) -> None:
    """How far it is, where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r{text} ", end="", file=sys.stderr, flush=True)


def told(results: list[faults.Result]) -> int:
    """Print what was wrong; gives the exit code."""
    for result in results:
        for text, count in result.surprises.most_common(10):
            print(f"{result.title}: {count} times: {text}")
        for violation in result.violations[:8]:
            print(f"{result.title}: {violation}")
    return int(any(result.violations for result in results))


if __name__ == "__main__":
    sys.exit(main())
