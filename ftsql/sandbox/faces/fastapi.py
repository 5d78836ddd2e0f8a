"""Read bodies and queries like FastAPI: with pydantic models, and with a 422 that lists all errors in ``detail``."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ftsql.sandbox.faces.face import Refusal, Request

Model = TypeVar("Model", bound=BaseModel)


class DetailRefusal(Refusal):
    """A refusal by the framework. The body of its response has only ``detail``."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(status, str(detail))
        self.detail = detail


def read_body(request: Request, model: type[Model]) -> Model:
    """Return the request's body as a model. Raises DetailRefusal (422) if the body is invalid."""
    if not request.body:
        raise DetailRefusal(422, [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        place = getattr(error, "pos", 0)
        context = {"error": getattr(error, "msg", "Expecting value")}
        found = {
            "type": "json_invalid",
            "loc": ["body", place],
            "msg": "JSON decode error",
            "input": {},
            "ctx": context,
        }
        raise DetailRefusal(422, [found]) from None
    return _valid(value, model, "body")


def read_query(request: Request, model: type[Model]) -> Model:
    """Return the request's query as a model. Raises DetailRefusal (422) if the query is invalid."""
    return _valid(dict(request.query), model, "query")


def _valid(value: object, model: type[Model], where: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        shown = json.loads(error.json(include_url=False))
        for breach in shown:
            breach["loc"] = [where, *breach["loc"]]
            if where == "query" and breach["type"] == "missing":
                breach["input"] = None  # FastAPI checks the parameters of a query one by one
        raise DetailRefusal(422, shown) from None
