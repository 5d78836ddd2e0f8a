"""The same rows through the same faults with a plain client, as a user's loop would send them.

The client is OpenAI's own with its own retries; what it did is counted from the sandbox's books alone.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

import openai

from tests.campaign.world import FACES, FILES, KEY, MODELS, TIMEOUT, World, faults

WORKERS = 12


@dataclass
class Plain:
    """What became of a plain client's rows."""

    rows: int = 0
    errors: int = 0  # create() raised
    doubles: int = 0  # rows with more than one job
    extra: int = 0  # jobs beyond one a row
    unheard: int = 0  # rows whose create() raised although there is a job
    lost: int = 0  # create() returned an id that is in no book
    seconds: float = 0.0


def plain(rows: int, seed: int) -> Plain:
    """``rows`` single creates by a plain client."""
    began = time.monotonic()
    result = Plain(rows)
    returned: dict[str, str | None] = {}
    with World(FACES["openai"], seed, faults(FACES["openai"]), chaos=True) as world:

        def work(number: int) -> None:
            rng = random.Random(f"{seed}/plain/{number}")
            with openai.OpenAI(base_url=world.sandbox.base_url("openai"), api_key=KEY, timeout=TIMEOUT) as client:
                for row in range(number, rows, WORKERS):
                    tag = f"p{number}-{row}"
                    try:
                        job = client.fine_tuning.jobs.create(
                            model=rng.choice(MODELS), training_file=rng.choice(FILES), suffix=tag
                        )
                        returned[tag] = job.id
                    except (openai.OpenAIError, ValueError, AttributeError):  # HTML comes as str
                        returned[tag] = None

        threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.calm_down()
        time.sleep(1)  # what is slow has arrived
        for tag, id in returned.items():
            jobs = world.seen[tag].jobs
            result.errors += id is None
            result.doubles += len(jobs) > 1
            result.extra += max(0, len(jobs) - 1)
            result.unheard += id is None and bool(jobs)
            result.lost += id is not None and id not in jobs
    result.seconds = time.monotonic() - began
    return result
