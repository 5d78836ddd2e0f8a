"""Splits SQL into statements, and translates those that are StackQL. All others stay as written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from ftsql.api.provider import Provider, load
from ftsql.stackql.commands import translate_command
from ftsql.stackql.names import find_references
from ftsql.stackql.tokens import Token, find_dotted_names, split_statements

COMMANDS = ("EXEC", "SHOW", "DESC", "DESCRIBE")


def translate_statements(sql: str, providers: Mapping[str, Provider] | None, active: Collection[str] | None) -> str:
    """Return ``sql`` with its StackQL statements translated.

    ``ftsql.stackql.translate`` documents the parameters and errors.
    """
    parts = []
    in_transaction = False
    for text, tokens in split_statements(sql):
        in_transaction = _is_in_transaction(tokens, in_transaction)
        if tokens and tokens[0].matches(*COMMANDS):
            providers = load(None, os.environ)[0] if providers is None else providers
            text = _replace_statement(text, tokens, translate_command(tokens, providers, active))
        elif names := find_dotted_names(tokens):
            providers = load(None, os.environ)[0] if providers is None else providers
            if references := find_references(tokens, names, providers):
                from ftsql.stackql.rewrite import rewrite  # imports sqlglot

                text = rewrite(text, tokens, references, active, in_transaction=in_transaction)
        parts.append(text)
    return "".join(parts)


def _replace_statement(text: str, tokens: Sequence[Token], new: str) -> str:
    """Return ``text`` with ``new`` in place of the statement. Comments and white space around the statement stay."""
    return text[: tokens[0].start] + new + text[tokens[-1].end :]


def _is_in_transaction(tokens: Sequence[Token], before: bool) -> bool:
    """Whether the SQL text has opened a transaction that is still open after this statement."""
    if not tokens:
        return before
    if tokens[0].matches("BEGIN", "SAVEPOINT"):
        return True
    # ROLLBACK TO keeps the transaction open.
    ends = tokens[0].matches("COMMIT", "END", "ROLLBACK", "RELEASE") and not any(each.matches("TO") for each in tokens)
    return before and not ends
