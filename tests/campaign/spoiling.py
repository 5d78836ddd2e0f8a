"""Statements spoilt: tokens and bytes changed, quotes left open, nested too deep, far too long.

Each way has a name, so that a campaign can say which ones it sent.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

TOKEN = re.compile(r"\w+|\s+|'[^']*'|.", re.DOTALL)
MARKS = [
    "'",
    '"',
    "`",
    "[",
    "]",
    "(",
    ")",
    "/*",
    "*/",
    "--",
    ";",
    "$$",
    "\\",
    "\n",
    "\t",
    ",",
    "::",
    "?",
    "@",
    ":",
    "#",
    "{",
    "..",
    "$1",
    "?99999",
    "0x",
    "x'0",
]
ODD = ["\0", "\ud800", "\udfff", "\ufeff", "\u2028", "\x7f", "\x1b[31m", "é", "😀", "\u202e", "\xa0", "\x0b", "\ufffd"]

Spoil = Callable[[str, random.Random], str]


def _dropped(text: str, rng: random.Random) -> str:
    tokens = TOKEN.findall(text)
    del tokens[rng.randrange(len(tokens) + 1) : rng.randrange(len(tokens) + 1) + 1]
    return "".join(tokens)


def _swapped(text: str, rng: random.Random) -> str:
    tokens = TOKEN.findall(text)
    one, two = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    tokens[one], tokens[two] = tokens[two], tokens[one]
    return "".join(tokens)


def _doubled(text: str, rng: random.Random) -> str:
    tokens = TOKEN.findall(text)
    place = rng.randrange(len(tokens))
    tokens[place] = " ".join([tokens[place]] * rng.choice([2, 3, 50]))
    return "".join(tokens)


def _put(text: str, rng: random.Random, what: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + what + text[place:]


def _marked(text: str, rng: random.Random) -> str:
    return _put(text, rng, rng.choice(MARKS))


def _odd(text: str, rng: random.Random) -> str:
    return _put(text, rng, rng.choice(ODD))


def _cut(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _joined(text: str, rng: random.Random) -> str:
    return f"{text};{rng.choice(['', ' ', '/* a */', ';;'])}{_swapped(text, rng)}"


def _bytes(text: str, rng: random.Random) -> str:
    return rng.randbytes(rng.randrange(1, 200)).decode("latin-1" if rng.random() < 0.5 else "utf-8", "surrogateescape")


def _cased(text: str, rng: random.Random) -> str:
    return rng.choice([text.upper(), text.swapcase(), text.replace(" ", "\n"), text.replace(" ", "/**/")])


def _deep(text: str, rng: random.Random) -> str:
    depth = rng.choice([50, 200, 900, 1100, 5000])
    opening, closing = rng.choice(
        [
            ("(", ")"),
            ("(SELECT ", ")"),
            ("NOT ", ""),
            ("-", ""),
            ("CASE WHEN 1 THEN ", " END"),
            ("abs(", ")"),
            ("1+", ""),
            ("~", ""),
        ]
    )
    return f"SELECT {opening * depth}1{closing * depth}"


def _long(text: str, rng: random.Random) -> str:
    times = rng.choice([100, 3000, 20_000])
    return rng.choice(
        [f"SELECT {', '.join(['1'] * times)}", "SELECT 1" + " UNION SELECT 1" * times, f"SELECT '{'a' * times * 50}'", "SELECT 1;" * min(times, 300),
         f"SELECT id FROM fine_tuning_jobs WHERE id IN ({', '.join(map(repr, range(times)))})", f"SELECT 1 -- {'x' * times * 50}", " " * times * 50 + text,
         f"SELECT 1 WHERE {' OR '.join(['id = 1'] * times)}", "SELECT " + "a" * times * 50, f"VALUES {', '.join(['(1)'] * times)}", "/*" * times, "'" * times]
    )  # fmt: skip


WAYS: dict[str, Spoil] = {
    "a token dropped": _dropped,
    "tokens swapped": _swapped,
    "a token doubled": _doubled,
    "a mark put in": _marked,
    "an odd character": _odd,
    "cut short": _cut,
    "two joined": _joined,
    "any bytes": _bytes,
    "another case": _cased,
    "too deep": _deep,
    "too long": _long,
}


def spoilt(text: str, rng: random.Random) -> tuple[str, str]:
    """``text``, half of the times spoilt in one way or two, and the last way's name."""
    kind = "as it is"
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        kind = rng.choice(list(WAYS))
        if kind in ("too deep", "too long") and rng.random() < 0.7:
            kind = "a mark put in"
        text = WAYS[kind](text or ";", rng)
    return text, kind
