"""A local server that speaks the fine-tuning APIs; what it needs beyond ftsql is the extra ``sandbox``."""

from __future__ import annotations

try:
    import python_multipart  # noqa: F401 - starlette asks for it only at the first upload
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError("the sandbox needs: pip install 'ftsql[sandbox]'", name=error.name) from error

from ftsql.sandbox.app import RequestRecord
from ftsql.sandbox.faults import TRAINING_NOT_AVAILABLE, Fault
from ftsql.sandbox.server import Sandbox

__all__ = ["TRAINING_NOT_AVAILABLE", "Fault", "RequestRecord", "Sandbox"]
