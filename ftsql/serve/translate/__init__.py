"""The translation of SELECT statements from PostgreSQL's SQL to SQLite's.

The package may import ``functions``, ``types``, ``authorizer``, ``limits``, ``text`` and ``errors`` of ``ftsql.serve``.
Others use ``statement.translate``. The set of features is frozen: a new one needs a statement that a real tool sends.
"""
