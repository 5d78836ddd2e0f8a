"""StackQL support: translates StackQL statements into SQL that any ftsql connection can run.

The package exports ``translate``. It may import ``api``, ``resources`` and ``errors``; the command line and the shell
use it. A statement that is not StackQL is returned unchanged. In a StackQL statement, only those parts are changed that
SQLite or ftsql would not understand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ftsql.api.provider import Provider

__all__ = ["translate"]

# A StackQL command, or a name followed by two dots. Text without either cannot be StackQL and is not tokenized.
LIKELY = re.compile(r"\b(?:EXEC|SHOW|DESC|DESCRIBE)\b|\.\s*(?:/\*|--|[\"`\[]|[^\W\d])[^.]*\.", re.IGNORECASE)


def translate(sql: str, providers: Mapping[str, Provider] | None = None, active: Collection[str] | None = None) -> str:
    """Return ``sql`` with its StackQL statements translated. The result may have more statements than ``sql``.

    ``providers`` are the providers, by name, with which a StackQL name may start. By default they are the providers
    that ship with ftsql and those in the user's provider file.
    ``active`` are the names of the providers to which the connection sends requests. If ``active`` is given, a
    statement on any other provider is refused. Otherwise such a statement returns no rows.

    Raises ProgrammingError, before any statement runs, if a StackQL statement asks for something that ftsql cannot do.
    Raises ImportError if a SELECT, INSERT or DELETE is translated without the extra ``stackql``.

    >>> translate("SHOW PROVIDERS")
    'SELECT provider AS name, active, base_url FROM live.ftsql_providers'
    >>> print(translate("SELECT id FROM openai.fine_tuning.jobs"))
    SELECT id FROM live.fine_tuning_jobs AS "jobs" WHERE "jobs".provider = 'openai'
    >>> translate("SELECT 1")
    'SELECT 1'
    """
    if not LIKELY.search(sql):
        return sql
    from ftsql.stackql.statements import translate_statements  # imported only here, because most SQL is not StackQL

    return translate_statements(sql, providers, active)
