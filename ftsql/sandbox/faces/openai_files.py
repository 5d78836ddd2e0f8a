"""The OpenAI face's handlers of files and models."""

from __future__ import annotations

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces.checks import check, one_of, whole
from ftsql.sandbox.faces.face import Call, Refusal, Response, Route, Upload, answer
from ftsql.sandbox.faces.openai_bodies import EXPIRES_SECONDS, PURPOSES

FILE = "/files/{file_id}"
MODEL = "/models/{model}"


def upload_file(books: Books, call: Call) -> Response:
    form = call.form
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
    return answer(books.files.upload(file.filename, file.content, str(purpose), _expires_in(form)))


def _expires_in(form: dict[str, str | Upload] | object) -> int | None:
    given = dict(form) if isinstance(form, dict) else {}
    anchor, seconds = given.get("expires_after[anchor]"), given.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    check(anchor, {"type": "string", "enum": ("created_at",)}, "expires_after.anchor")
    value = int(seconds) if isinstance(seconds, str) and seconds.isdecimal() else seconds
    check(value, EXPIRES_SECONDS, "expires_after.seconds")
    return int(str(value))


def list_files(books: Books, call: Call) -> Response:
    query = call.query
    limit = whole(query, "limit", 10_000, 10_000)
    oldest_first = one_of(query, "order", ("desc", "asc")) == "asc"
    books.jobs.settle()
    found = books.files.page(query.get("after"), limit, query.get("purpose"), oldest_first=oldest_first)
    if found is None:
        raise Refusal(404, f"Could not find file for cursor: {query.get('after')}", param="after")
    files, more = found
    # An empty list has no ids, yet the schema wants strings.
    first, last = (files[0]["id"], files[-1]["id"]) if files else ("", "")
    return answer({"object": "list", "data": files, "first_id": first, "last_id": last, "has_more": more})


def retrieve_file(books: Books, call: Call) -> Response:
    books.jobs.settle()
    file = books.files.get(call.params["file_id"])
    if file is None:
        raise _unknown_file(call)
    return answer(file)


def download_file(books: Books, call: Call) -> Response:
    books.jobs.settle()
    content = books.files.content(call.params["file_id"])
    if content is None:
        raise _unknown_file(call)
    return Response(200, content, content_type="application/octet-stream")


def delete_file(books: Books, call: Call) -> Response:
    if not books.files.remove(call.params["file_id"]):
        raise _unknown_file(call)
    return answer({"object": "file", "id": call.params["file_id"], "deleted": True})


def list_models(books: Books, call: Call) -> Response:
    books.jobs.settle()
    return answer({"object": "list", "data": books.models.all()})


def retrieve_model(books: Books, call: Call) -> Response:
    books.jobs.settle()
    model = books.models.get(call.params["model"])
    if model is None:
        raise _unknown_model(call)
    return answer(model)


def delete_model(books: Books, call: Call) -> Response:
    name = call.params["model"]
    books.jobs.settle()
    if books.models.remove(name):
        return answer({"id": name, "object": "model", "deleted": True})
    if books.models.get(name):
        message = f"The model '{name}' does not belong to your organization and cannot be deleted."
        raise Refusal(403, message, param="model")
    raise _unknown_model(call)


def _unknown_file(call: Call) -> Refusal:
    return Refusal(404, f"No such File object: {call.params['file_id']}", param="id")


def _unknown_model(call: Call) -> Refusal:
    return Refusal(404, f"The model '{call.params['model']}' does not exist", param="model", code="model_not_found")


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
