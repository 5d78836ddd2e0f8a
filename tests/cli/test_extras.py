"""Each extra alone supports its feature, and the other features name the extra to install."""

from __future__ import annotations

import pytest

from tests.bounds import oldest
from tests.extras import BRINGS, check


@pytest.mark.parametrize("extra", ["", *BRINGS])
@pytest.mark.long
def test_each_extra_alone_is_enough_and_a_missing_one_is_named(extra: str) -> None:
    check(extra)


def test_every_dependency_has_an_oldest_version() -> None:
    assert {"apsw", "httpx", "starlette", "sqlglot", "pg-mimic", "sqlalchemy"} <= {
        requirement.partition("==")[0] for requirement in oldest("test")
    }
