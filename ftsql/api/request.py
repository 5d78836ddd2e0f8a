"""The description of one HTTP request to a provider's API. The client makes it before the first attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Resource

if TYPE_CHECKING:
    from ftsql.api.download import Download
    from ftsql.api.upload import Upload


@dataclass(frozen=True)
class Request:
    """One request, which may be sent several times.

    method: The HTTP method.
    path: The path below the provider's base URL.
    kind: The name by which requests are counted: list, get, download, create, cancel, delete, upload, …
    resource: The resource that the request reads or changes.
    query: The query parameters that this request has in addition to those of every request.
    body: JSON as bytes, or a file to upload.
    into: The file that takes the body of a successful response.
    by_id: Whether the request asks for one object by its id.
    repeatable: Whether the request may be sent again although the server may have carried it out.
    own_connection: Whether each attempt opens a connection of its own.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    kind: str
    resource: Resource = JOBS
    query: Mapping[str, str] | None = None
    body: bytes | Upload | None = None
    into: Download | None = None
    by_id: bool = False
    repeatable: bool = True
    own_connection: bool = False
