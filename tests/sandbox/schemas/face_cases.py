"""Cases for the sandbox's faces beside OpenAI's: credentials, fields, statuses, errors and refusals, as data."""

from __future__ import annotations

from typing import Any

BEARER = {"Authorization": "Bearer test"}
GATEWAY = {"x-portkey-api-key": "test", "x-portkey-provider": "bedrock"}
# For each face: accepted headers, the query of each request, and further body fields of each POST.
ACCESS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "azure": ({"api-key": "test"}, {"api-version": "2024-10-21"}, {}),
    "azure_v1": ({"api-key": "test"}, {}, {}),
    "anyapi": (BEARER, {}, {}),
    "litellm": (BEARER, {"custom_llm_provider": "openai"}, {"custom_llm_provider": "openai"}),
    "portkey": ({**GATEWAY, **BEARER}, {}, {}),
    "portkey_bedrock": (GATEWAY, {}, {"suffix": "mine"}),
    "portkey_vertex": (GATEWAY, {}, {}),
    "portkey_fireworks": (GATEWAY, {}, {}),
    "telnyx": (BEARER, {}, {}),
}
JOBS = {name: "/ai/fine_tuning/jobs" if name == "telnyx" else "/fine_tuning/jobs" for name in ACCESS}
URLS = {
    "openai": "/v1",
    "azure": "/azure/openai",
    "azure_v1": "/azure/openai/v1",
    "anyapi": "/anyapi/v1",
    "litellm": "/litellm/v1",
    "portkey": "/portkey/v1",
    "portkey_bedrock": "/portkey-bedrock/v1",
    "portkey_vertex": "/portkey-vertex/v1",
    "portkey_fireworks": "/portkey-fireworks/v1",
    "telnyx": "/telnyx/v2",
}
LIST_KEYS = {
    "azure": {"object", "data", "has_more"},
    "azure_v1": {"object", "data", "has_more"},
    "anyapi": {"object", "data", "has_more"},
    "litellm": {"object", "data", "has_more"},
    "portkey": {"object", "data", "has_more"},
    "portkey_bedrock": {"object", "data", "total_count"},
    "portkey_vertex": {"object", "data", "first_id", "last_id", "has_more"},
    "portkey_fireworks": {"object", "data", "first_id", "last_id", "has_more"},
    "telnyx": {"data"},
}

FULL: dict[str, Any] = {
    "id": "ftjob-full",
    "created_at": 1_790_000_000,
    "finished_at": 1_790_000_900,
    "model": "gpt-4o-2024-08-06",
    "training_file": "file-a",
    "validation_file": "file-b",
    "user_provided_suffix": "mine",
    "seed": 7,
    "trained_tokens": 1234,
    "hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5},
    "metadata": {"team": "ads"},
    "result_files": ["file-r"],
    "fine_tuned_model": "ft:gpt-4o:org:mine:1",
}
FULL["method"] = {"type": "supervised", "supervised": {"hyperparameters": FULL["hyperparameters"]}}
ARN = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Amodel-customization-job%2Famazon.nova-lite-v1%3A0%3A300k%2F"
# A retrieved FULL job, for the faces that have a shape of their own.
SHOWN: dict[str, dict[str, Any]] = {
    "azure": {
        "object": "fine_tuning.job",
        "id": "ftjob-full",
        "created_at": 1_790_000_000,
        "finished_at": 1_790_000_900,
        "status": "succeeded",
        "model": "gpt-4o-2024-08-06",
        "fine_tuned_model": "ft:gpt-4o:org:mine:1",
        "training_file": "file-a",
        "validation_file": "file-b",
        "result_files": ["file-r"],
        "trained_tokens": 1234,
        "hyperparameters": FULL["hyperparameters"],
        "suffix": "mine",
        "seed": 7,
    },
    "portkey_bedrock": {
        "id": f"{ARN}ftjob-full",
        "job_name": "portkey-finetune-ftjob-full",
        "object": "finetune",
        "status": "succeeded",
        "created_at": 1_790_000_000_000,
        "finished_at": 1_790_000_900_000,
        "fine_tuned_model": "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/ftjob-full",
        "suffix": "mine",
        "training_file": "s3%3A%2F%2Fftsql-sandbox%2Ffile-a",
        "validation_file": "s3%3A%2F%2Fftsql-sandbox%2Ffile-b",
        "hyperparameters": FULL["hyperparameters"],
        "error": {},
    },
    "portkey_vertex": {
        "id": "ftjob-full",
        "object": "finetune",
        "status": "succeeded",
        "created_at": 1_790_000_000_000,
        "finished_at": 1_790_000_900_000,
        "fine_tuned_model": "ft:gpt-4o:org:mine:1",
        "model": "gpt-4o-2024-08-06",
        "trained_tokens": "1234",
        "training_file": "gs%3A%2F%2Fftsql-sandbox%2Ffile-a",
        "validation_file": "gs%3A%2F%2Fftsql-sandbox%2Ffile-b",
        "hyperparameters": {"n_epochs": "2", "batch_size": "ADAPTER_SIZE_FOUR", "learning_rate_multiplier": 0.5},
    },
    "portkey_fireworks": {
        "id": "ftjob-full",
        "model": "gpt-4o-2024-08-06",
        "suffix": "accounts/sandbox/models/mine",
        "fine_tuned_model": "accounts/sandbox/models/mine",
        "training_file": "file-a",
        "validation_file": "file-b",
        "hyperparameters": {"n_epochs": 2, "learning_rate": 0.5},
        "created_at": 1_790_000_000_000,
        "completed_at": 1_790_000_900_000,
        "status": "succeeded",
    },
}
# The fields of a job that has just been created; all others are absent.
BARE: dict[str, set[str]] = {
    "azure": {"object", "id", "created_at", "status", "model", "training_file", "hyperparameters", "seed"},
    "portkey_bedrock": {
        *("id", "job_name", "object", "status", "created_at", "finished_at", "training_file", "validation_file"),
        *("hyperparameters", "error"),
    },
    "portkey_vertex": {"id", "object", "status", "created_at", "hyperparameters", "model", "training_file"},
    "portkey_fireworks": {
        *("id", "model", "suffix", "training_file", "hyperparameters", "created_at", "status", "fine_tuned_model"),
    },
}
ANYAPI_FIELDS = {
    *("object", "id", "model", "created_at", "finished_at", "fine_tuned_model", "organization_id", "result_files"),
    *("status", "validation_file", "training_file", "hyperparameters", "trained_tokens", "error", "seed"),
    *("estimated_finish", "integrations"),
}
# The names for validating_files, queued, running, paused, succeeded, failed and cancelled.
STATUSES: dict[str, str] = {
    "azure": "pending pending running pending succeeded failed cancelled",
    "azure_v1": "validating_files queued running paused succeeded failed cancelled",
    "litellm": "validating_files queued running paused succeeded failed cancelled",
    "portkey": "validating_files queued running paused succeeded failed cancelled",
    "portkey_bedrock": "running running running running succeeded failed cancelled",
    "portkey_vertex": "queued queued running queued succeeded failed cancelled",
    "portkey_fireworks": "queued queued running queued succeeded failed cancelled",
    "telnyx": "queued queued running queued succeeded failed cancelled",
}
# The field "error" of a failed job.
REASON = {"code": "invalid_training_file", "message": "The file is bad.", "param": "training_file"}
REASONS: dict[str, object] = {
    "azure": REASON,
    "azure_v1": REASON,
    "portkey": REASON,
    "litellm": REASON,
    "portkey_bedrock": "The file is bad.",
    "portkey_vertex": {"code": 3, "message": "The file is bad."},
    "portkey_fireworks": {"code": "INTERNAL", "message": "The file is bad."},
}

NOT_FOUND = "Could not find fine tune: ftjob-none"
WRAPPED = (
    "Error code: 404 - {'error': {'message': 'Could not find fine tune: ftjob-none', 'type': 'invalid_request_error', "
    "'param': 'fine_tune_id', 'code': 'fine_tune_not_found'}}"
)
OPENAI_404 = {"type": "invalid_request_error", "param": "fine_tune_id", "code": "fine_tune_not_found"}
# The body of a 404 for the job ftjob-none. AnyAPI has no retrieve, so the request is a cancel.
UNKNOWN_JOB: dict[str, dict[str, Any]] = {
    "azure": {"error": {"code": "notFound", "message": NOT_FOUND}},
    "azure_v1": {"error": {"message": NOT_FOUND, **OPENAI_404}},
    "anyapi": {"error": {"code": 404, "message": NOT_FOUND, "type": "not_found", "metadata": {}}},
    "litellm": {"error": {"message": WRAPPED, "type": "internal_server_error", "param": "fine_tune_id", "code": "404"}},
    "portkey": {"error": {"message": f"openai error: {NOT_FOUND}", **OPENAI_404}, "provider": "openai"},
    "portkey_bedrock": {
        "error": {"message": f"bedrock error: {NOT_FOUND}", "type": None, "param": None, "code": None},
        "provider": "bedrock",
    },
    "portkey_vertex": {
        "error": {"code": 404, "message": NOT_FOUND, "status": "NOT_FOUND"},
        "provider": "vertex-ai",
    },
    "portkey_fireworks": {"error": {"message": NOT_FOUND}},
    "telnyx": {
        "errors": [
            {
                "code": "10005",
                "title": "Resource not found",
                "detail": "The requested resource or URL could not be found.",
            }
        ]
    },
}
# Headers, the status of the response, and a pattern of its body.
DENIED: list[tuple[str, dict[str, str], int, str]] = [
    ("azure", {}, 401, r'^{"error":{"code":"401","message":"Access denied due to invalid subscription key'),
    ("azure", {"api-key": "wrong"}, 401, r'"code":"401"'),
    ("azure", BEARER, 401, r'"code":"401"'),
    ("azure_v1", {}, 401, r"Access denied"),
    ("azure_v1", {"Authorization": "Bearer wrong"}, 401, r"Access denied"),
    ("anyapi", {}, 401, r'^{"error":{"code":401,"message":.*"type":"authentication_error","metadata":{}}}$'),
    ("litellm", {}, 401, r'"type":"auth_error","param":"None","code":"401"'),
    ("litellm", {"Authorization": "Bearer wrong"}, 401, r'"type":"auth_error"'),
    ("portkey", {}, 401, r'^{"status":"failure","message":'),
    ("portkey", {"x-portkey-api-key": "k"}, 400, r"Either x-portkey-config or x-portkey-provider header is required"),
    ("portkey", GATEWAY, 401, r'"message":"openai error: You didn.t provide an API key.*"provider":"openai"'),
    ("portkey_bedrock", {"x-portkey-api-key": "k"}, 400, r'^{"status":"failure","message":"Either'),
    ("portkey_vertex", BEARER, 401, r'^{"status":"failure"'),
    ("telnyx", {}, 401, r'^{"errors":\[{"code":"10009","title":"Authentication failed","detail":".+"}\]}$'),
]
# The response to a fault with a status alone.
FAULTS: list[tuple[str, int, str]] = [
    ("azure", 429, r'"code":"tooManyRequests"'),
    ("azure", 500, r'"code":"internalFailure"'),
    ("azure", 503, r'"code":"serviceUnavailable"'),
    ("azure_v1", 429, r'"code":"rate_limit_exceeded"'),
    ("anyapi", 402, r'"code":402,.*"type":"payment_required"'),
    ("anyapi", 500, r'"type":"server_error"'),
    ("litellm", 429, r'"message":"Error code: 429 - .*"code":"429"'),
    ("portkey", 429, r'"message":"openai error: Rate limit.*"provider":"openai"'),
    ("portkey_bedrock", 429, r'"message":"bedrock error: .*"provider":"bedrock"'),
    ("portkey_vertex", 503, r'"code":503,.*"status":"UNAVAILABLE"'),
    ("portkey_fireworks", 500, r'^{"error":{"message":".*"},"provider":"fireworks-ai"}$'),
    ("telnyx", 429, r'"code":"10011","title":"Too many requests"'),
    ("telnyx", 500, r'"code":"10007"'),
]
# A face, a body that a create refuses, the status, and a pattern of the response.
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("azure", {"suffix": "s" * 41}, 400, r'"code":"invalidPayload".*40 characters'),
    ("azure", {"suffix": "a b"}, 400, r"40 characters"),
    ("azure", {"hyperparameters": {"n_epochs": "auto"}}, 400, r"expected an integer"),
    ("azure", {"method": {"type": "supervised"}}, 400, r"Unrecognized request argument supplied: method"),
    ("azure", {"metadata": {}}, 400, r"metadata"),
    ("azure", {"training_file": ...}, 400, r"training_file"),
    ("azure_v1", {"suffix": "s" * 65}, 400, r'"param":"suffix"'),
    ("anyapi", {"metadata": {"a": "b"}}, 400, r'"code":400,.*metadata","type":"bad_request"'),
    ("anyapi", {"method": {"type": "supervised"}}, 400, r"Unrecognized request argument supplied: method"),
    ("litellm", {"custom_llm_provider": ...}, 500, r"No litellm managed file id or custom_llm_provider provided"),
    ("litellm", {"model": ...}, 422, r'^{"detail":\[{"type":"missing","loc":\["body","model"\]'),
    ("litellm", {"custom_llm_provider": "bedrock"}, 422, r'"loc":\["body","custom_llm_provider"\]'),
    ("litellm", {"suffix": "s" * 65}, 400, r"Error code: 400 - .*string too long"),
    ("portkey_bedrock", {"suffix": ...}, 400, r"bedrock error: Missing required parameter: 'suffix'"),
    ("portkey_vertex", {"model": ...}, 400, r'"status":"INVALID_ARGUMENT"'),
    ("portkey_fireworks", {"training_file": 4}, 400, r'^{"error":{"message":"Invalid type'),
]
# A face, method, path below the jobs, the status, and a pattern of the response. The jobs are ftjob-running and ftjob-done.
ODD: list[tuple[str, str, str, int, str]] = [
    ("anyapi", "GET", "/ftjob-done", 404, r'"type":"not_found"'),
    ("anyapi", "GET", "/ftjob-done/events", 404, r'"type":"not_found"'),
    ("anyapi", "POST", "/ftjob-running/pause", 404, r'"type":"not_found"'),
    ("anyapi", "POST", "/ftjob-done/cancel", 400, r"already completed"),
    ("azure", "POST", "/ftjob-running/pause", 404, r'"code":"404"'),
    ("azure", "POST", "/ftjob-done/cancel", 409, r'"code":"conflict"'),
    ("azure", "GET", "/ftjob-done/events?limit=1", 200, r'"has_more":true'),
    ("azure", "GET", "/ftjob-done/checkpoints", 200, r"fine_tuning.job.checkpoint"),
    ("azure", "GET", "?limit=0", 400, r'"code":"invalidPayload"'),
    ("azure", "GET", "?after=ftjob-none", 404, r'"code":"notFound"'),
    ("azure", "DELETE", "/ftjob-none", 404, r'"code":"notFound"'),
    ("azure_v1", "POST", "/ftjob-running/pause", 200, r'"status":"paused"'),
    ("azure_v1", "GET", "?metadata[team]=none", 200, r"ftjob-done.*ftjob-running|ftjob-running.*ftjob-done"),
    ("azure_v1", "GET", "/ftjob-done/checkpoints", 200, r"fine_tuning.job.checkpoint"),
    ("litellm", "GET", "/ftjob-done/events", 404, r"Could not find fine tune: ftjob-done/events"),
    ("litellm", "GET", "?target_model_names=gpt-4o,gpt-4", 400, r"must be a list of one model name"),
    ("litellm", "GET", "?limit=x", 422, r'"loc":\["query","limit"\]'),
    ("litellm", "GET", "?metadata[team]=none", 200, r"ftjob-done"),
    ("litellm", "POST", "/ftjob-running/pause", 405, r'^{"detail":"Method Not Allowed"}$'),
    ("portkey", "POST", "/ftjob-running/pause", 200, r'"status":"paused"'),
    ("portkey", "GET", "?metadata[team]=none", 200, r'"data":\[\]'),
    ("portkey_vertex", "POST", "/ftjob-running/pause", 200, r"^$"),
    ("portkey_vertex", "POST", "/ftjob-running/resume", 200, r"^$"),
    ("portkey_vertex", "POST", "/ftjob-done/cancel", 400, r'"provider":"vertex-ai"'),
    ("portkey_vertex", "GET", "/ftjob-done/events", 404, r"Could not find fine tune: events"),
    ("portkey_vertex", "GET", "?after=ftjob-done", 400, r'"status":"INVALID_ARGUMENT"'),
    ("portkey_fireworks", "POST", "/ftjob-running/pause", 200, r'"status":"cancelled"'),
    ("portkey_fireworks", "POST", "/ftjob-done/cancel", 500, r'already completed.*"provider":"fireworks-ai"'),
    ("portkey_fireworks", "POST", "/ftjob-none/cancel", 500, r'"provider":"fireworks-ai"'),
    ("portkey_fireworks", "GET", "?after=ftjob-done", 400, r"Invalid page token"),
    ("portkey_bedrock", "POST", f"/{ARN}ftjob-running/pause", 200, r"^$"),
    ("portkey_bedrock", "POST", f"/{ARN}ftjob-done/cancel", 400, r"bedrock error: Job has already completed"),
    ("portkey_bedrock", "GET", f"/{ARN}ftjob-done/events", 404, r"bedrock error"),
    ("portkey_bedrock", "GET", f"/{ARN.replace('%', '%25')}ftjob-done", 404, r"bedrock error"),
    ("portkey_bedrock", "GET", "/ftjob-done", 404, r"bedrock error"),
    ("portkey_bedrock", "GET", "?limit=1&after=nonsense", 200, r"ftjob-done.*ftjob-running|ftjob-running.*ftjob-done"),
]
