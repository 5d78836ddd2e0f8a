"""The oldest versions that pyproject.toml allows, as pip's requirements: ``python -m tests.bounds GROUP``.

GROUP is an extra, which brings its own extras and the core's dependencies, or ``build-system``. Needs nothing installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)")


def requirements(pyproject: dict[str, Any], group: str) -> Iterator[str]:
    """What ``group`` asks for, with what its extras of our own ask for in turn."""
    project = pyproject["project"]
    if group == "build-system":
        yield from pyproject[group]["requires"]
        return
    for one in project["optional-dependencies"][group]:
        if (own := re.fullmatch(project["name"] + r"\[([\w,]+)\]", one)) is None:
            yield one
        else:
            for extra in own[1].split(","):
                yield from requirements(pyproject, extra)
    yield from project["dependencies"]


def oldest(group: str) -> list[str]:
    """Each of them at its bound. Raises ValueError for one that has none."""
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    found: dict[str, str] = {}
    for one in requirements(pyproject, group):
        if (bound := BOUND.match(one)) is None:
            raise ValueError(f"pyproject.toml has no oldest version of {one}")
        if found.setdefault(bound[1], bound[2]) != bound[2]:
            raise ValueError(f"pyproject.toml has two oldest versions of {bound[1]}")
    return [f"{name}=={version}" for name, version in found.items()]


if __name__ == "__main__":
    print("\n".join(oldest(sys.argv[1])))
