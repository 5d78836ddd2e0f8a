"""A local server that speaks the fine-tuning APIs, for trying ftsql out and for tests.

The package imports no other part of ftsql, so that client and server cannot share a mistake. It exports ``Sandbox``,
``Fault``, ``RequestRecord`` and one ready-made fault. ``connect(sandbox=True)``, the command line, ``ftsql serve`` and
the tests use the package. Importing it raises ImportError if the extra ``sandbox`` is not installed.
"""

from __future__ import annotations

try:
    import python_multipart  # noqa: F401 - starlette imports it only at the first upload
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError("the sandbox needs: pip install 'ftsql[sandbox]'", name=error.name) from error

from ftsql.sandbox.app import RequestRecord
from ftsql.sandbox.faults import TRAINING_NOT_AVAILABLE, Fault
from ftsql.sandbox.server import Sandbox

__all__ = ["TRAINING_NOT_AVAILABLE", "Fault", "RequestRecord", "Sandbox"]
