"""Cases for the sandbox's faults: the armed faults, and the results that clients see."""

from __future__ import annotations

from typing import Any

import httpx

from ftsql.sandbox import Fault

JSON = {"content-type": "application/json"}
# A fault, and the status, body and some headers that the client gets.
ANSWERS: list[tuple[Fault, int, bytes, dict[str, str]]] = [
    (Fault(status=429, headers={"Retry-After": "7"}, body={"odd": 1}), 429, b'{"odd":1}', {"retry-after": "7", **JSON}),
    (Fault(status=200, headers={"X-Request-Id": "mine"}, body=[1]), 200, b"[1]", {"x-request-id": "mine", **JSON}),
    (Fault(body=b"\xff\x00"), 200, b"\xff\x00", JSON),
    (Fault(body="<html>", content_type="text/html"), 200, b"<html>", {"content-type": "text/html"}),
    (Fault(body={}), 200, b"{}", JSON),
    (Fault(body=""), 200, b"", JSON),
    (Fault(status=204), 204, b"", {}),
    (Fault(redirect="http://else.example/v2"), 307, b"", {"location": "http://else.example/v2"}),
    (Fault(body="12345", truncate=5), 200, b"12345", {}),
]

# The faults that lose the response of a create; only ``accept`` decides whether the job exists.
LOST: dict[str, dict[str, Any]] = {
    "drop": {"drop": True},
    "500": {"status": 500},
    "a redirect": {"redirect": "http://127.0.0.1:9/"},
    "a hostile body": {"body": "<html>"},
    "a hang": {"hang": True},
}

# The results that the client then sees. An aborted connection may end in FIN or RST.
LOST_AS: dict[str, tuple[object, ...]] = {
    "drop": (httpx.RemoteProtocolError, httpx.ReadError),
    "500": (500,),
    "a redirect": (307,),
    "a hostile body": (200,),
    "a hang": (httpx.ReadTimeout,),
}

# A lie, and the ids of each page if a client reads five jobs by has_more and cursor, three a page, four pages at most.
PAGES: dict[str, list[str]] = {
    "no_has_more": ["012"],
    "has_more_forever": ["012", "34", ""],
    "repeat_page": ["012", "012", "012", "012"],
    "empty_page": [""],
    "shuffled": ["102", "43"],
    "oldest_first": ["432", "10"],
    "full_page_has_more": ["012", "34"],
    "silent_unknown_after": ["012", "34"],
    "restart_unknown_after": ["012", "34"],
}

# A lie, the status of a list after an unknown cursor, and how many jobs it has.
UNKNOWN_AFTER = [("silent_unknown_after", 200, 0), ("restart_unknown_after", 200, 1), ("shuffled", 404, 0)]

# Faults, and the statuses of the requests GET, POST, GET, GET, GET to the jobs.
SELECTED: list[tuple[list[Fault], list[int]]] = [
    ([Fault(status=500)], [500, 200, 200, 200, 200]),
    ([Fault(status=500, times=2)], [500, 500, 200, 200, 200]),
    ([Fault(status=500, times=None)], [500] * 5),
    ([Fault(status=500, after=1, times=2)], [200, 500, 500, 200, 200]),
    ([Fault(status=500, method="GET", times=None)], [500, 200, 500, 500, 500]),
    ([Fault(status=500, method="GET", after=1)], [200, 200, 500, 200, 200]),
    ([Fault(status=500, path="jobs$", times=None)], [500] * 5),
    ([Fault(status=500, path="^/v1/files", times=None)], [200] * 5),
    ([Fault(status=500), Fault(status=503)], [500, 503, 200, 200, 200]),
    ([Fault(status=500, after=1), Fault(status=503, after=2)], [200, 500, 503, 200, 200]),
    ([Fault(lie="empty_page", times=2), Fault(status=500, after=2)], [200, 200, 500, 200, 200]),
    ([Fault(status=500, probability=0.0, times=None)], [200] * 5),
]

# Fields that are no valid fault.
WRONG = [{}, {"sttaus": 500}, {"lie": "white"}, {"times": "2"}, {"drop": 1}, {"path": "("}, {"transform": "x"}, [], 7]
