"""Shillelagh as a contender: an adapter as its page "Creating a new adapter" says. Runs where no ftsql is.

One thing is better than there: a session keeps the TCP connection open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import requests  # type: ignore[import-untyped, unused-ignore]
from shillelagh.adapters.base import Adapter  # type: ignore[import-not-found, unused-ignore]
from shillelagh.adapters.registry import registry  # type: ignore[import-not-found, unused-ignore]
from shillelagh.backends.apsw.db import connect  # type: ignore[import-not-found, unused-ignore]
from shillelagh.fields import Integer, Order, String  # type: ignore[import-not-found, unused-ignore]
from shillelagh.filters import Equal  # type: ignore[import-not-found, unused-ignore]
from shillelagh.lib import NetworkAPICostModel, flatten  # type: ignore[import-not-found, unused-ignore]

from tests.bench.asked import Ask, Asked, answer

PAGE = 100


class Jobs(Adapter):  # type: ignore[misc, unused-ignore]
    """The table is the URL of the jobs."""

    safe = True
    supports_limit = True
    supports_requested_columns = True
    get_cost = NetworkAPICostModel(download_cost=1000, fixed_cost=100)

    id = String(filters=[Equal], exact=True)
    created_at = Integer(order=Order.DESCENDING)
    error = String()
    estimated_finish = Integer()
    fine_tuned_model = String()
    finished_at = Integer()
    hyperparameters = String()
    integrations = String()
    metadata = String()
    method = String()
    model = String()
    object = String()
    organization_id = String()
    result_files = String()
    seed = Integer()
    status = String()
    trained_tokens = Integer()
    training_file = String()
    validation_file = String()

    @staticmethod
    def supports(uri: str, fast: bool = True, **_: Any) -> bool:
        return uri.endswith("/fine_tuning/jobs")

    @staticmethod
    def parse_uri(uri: str) -> tuple[str]:
        return (uri,)

    def __init__(self, uri: str, api_key: str) -> None:
        super().__init__()
        self.uri = uri
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def get_data(
        self,
        bounds: dict[str, Any],
        order: list[Any],
        limit: int | None = None,
        requested_columns: set[str] | None = None,
        **_: Any,
    ) -> Iterator[dict[str, Any]]:
        found = self._one(bounds["id"].value) if "id" in bounds else self._all(limit)
        wanted = requested_columns or set(self.get_columns())
        for number, job in enumerate(found):
            yield {**flatten({name: job[name] for name in wanted if name in job}), "rowid": number}

    def _one(self, id: str) -> Iterator[dict[str, Any]]:
        response = self.session.get(f"{self.uri}/{id}")
        if response.status_code != 404:
            response.raise_for_status()
            yield response.json()

    def _all(self, limit: int | None) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"limit": min(limit or PAGE, PAGE)}
        left = limit
        while True:
            response = self.session.get(self.uri, params=query)
            response.raise_for_status()
            page = response.json()
            yield from page["data"]
            left = None if left is None else left - len(page["data"])
            if not page["has_more"] or (left is not None and left <= 0):
                return
            query["after"] = page["data"][-1]["id"]


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    sql = asked.sql.format(jobs=f'"{asked.base_url}/fine_tuning/jobs"')
    with closing(connect(":memory:", adapters=["jobs"], adapter_kwargs={"jobs": {"api_key": asked.key}})) as connection:
        cursor = connection.cursor()
        for statement in asked.setup.split("; "):
            cursor.execute(statement)
        yield lambda: cursor.execute(sql).fetchall()


if __name__ == "__main__":
    registry.add("jobs", Jobs)
    answer(opened)
