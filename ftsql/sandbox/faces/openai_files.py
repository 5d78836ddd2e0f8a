"""The OpenAI face's handlers for files and models."""

from __future__ import annotations

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces.checks import check, query_choice, query_integer
from ftsql.sandbox.faces.face import Refusal, Request, Response, Route, Upload, json_response
from ftsql.sandbox.faces.openai_bodies import EXPIRES_SECONDS, PURPOSES

FILE = "/files/{file_id}"
MODEL = "/models/{model}"


def upload_file(books: Books, request: Request) -> Response:
    form = request.form
    if form is None:
        raise Refusal(400, "Expected a multipart/form-data body with 'file' and 'purpose'.")
    file, purpose = form.get("file"), form.get("purpose")
    for name, value in (("file", file), ("purpose", purpose)):
        if value is None:
            message = f"Missing required parameter: '{name}'."
            raise Refusal(400, message, param=name, code="missing_required_parameter")
    if not isinstance(file, Upload):
        raise Refusal(400, "Invalid type for 'file': expected a file, but got a string instead.", param="file")
    check(purpose, {"type": "string", "enum": PURPOSES}, "purpose")
    return json_response(books.files.upload(file.filename, file.content, str(purpose), _expires_in(form)))


def _expires_in(form: dict[str, str | Upload] | object) -> int | None:
    given = dict(form) if isinstance(form, dict) else {}
    anchor, seconds = given.get("expires_after[anchor]"), given.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    check(anchor, {"type": "string", "enum": ("created_at",)}, "expires_after.anchor")
    value = int(seconds) if isinstance(seconds, str) and seconds.isdecimal() else seconds
    check(value, EXPIRES_SECONDS, "expires_after.seconds")
    return int(str(value))


def list_files(books: Books, request: Request) -> Response:
    query = request.query
    limit = query_integer(query, "limit", 10_000, 10_000)
    oldest_first = query_choice(query, "order", ("desc", "asc")) == "asc"
    books.jobs.store_finished()
    found = books.files.page(query.get("after"), limit, query.get("purpose"), oldest_first=oldest_first)
    if found is None:
        raise Refusal(404, f"Could not find file for cursor: {query.get('after')}", param="after")
    files, more = found
    # The schema requires strings, even for an empty list.
    first, last = (files[0]["id"], files[-1]["id"]) if files else ("", "")
    return json_response({"object": "list", "data": files, "first_id": first, "last_id": last, "has_more": more})


def retrieve_file(books: Books, request: Request) -> Response:
    books.jobs.store_finished()
    file = books.files.get(request.params["file_id"])
    if file is None:
        raise _unknown_file(request)
    return json_response(file)


def download_file(books: Books, request: Request) -> Response:
    books.jobs.store_finished()
    content = books.files.content(request.params["file_id"])
    if content is None:
        raise _unknown_file(request)
    return Response(200, content, content_type="application/octet-stream")


def delete_file(books: Books, request: Request) -> Response:
    if not books.files.remove(request.params["file_id"]):
        raise _unknown_file(request)
    return json_response({"object": "file", "id": request.params["file_id"], "deleted": True})


def list_models(books: Books, request: Request) -> Response:
    books.jobs.store_finished()
    return json_response({"object": "list", "data": books.models.all()})


def retrieve_model(books: Books, request: Request) -> Response:
    books.jobs.store_finished()
    model = books.models.get(request.params["model"])
    if model is None:
        raise _unknown_model(request)
    return json_response(model)


def delete_model(books: Books, request: Request) -> Response:
    name = request.params["model"]
    books.jobs.store_finished()
    if books.models.remove(name):
        return json_response({"id": name, "object": "model", "deleted": True})
    if books.models.get(name):
        message = f"The model '{name}' does not belong to your organization and cannot be deleted."
        raise Refusal(403, message, param="model")
    raise _unknown_model(request)


def _unknown_file(request: Request) -> Refusal:
    return Refusal(404, f"No such File object: {request.params['file_id']}", param="id")


def _unknown_model(request: Request) -> Refusal:
    return Refusal(404, f"The model '{request.params['model']}' does not exist", param="model", code="model_not_found")


ROUTES = (
    Route("GET", "/files", list_files),
    Route("POST", "/files", upload_file),
    Route("GET", FILE, retrieve_file),
    Route("DELETE", FILE, delete_file),
    Route("GET", f"{FILE}/content", download_file),
    Route("GET", "/models", list_models),
    Route("GET", MODEL, retrieve_model),
    Route("DELETE", MODEL, delete_model),
)
