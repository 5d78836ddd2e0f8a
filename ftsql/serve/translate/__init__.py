"""The translation of SELECT statements from PostgreSQL's SQL to SQLite's.

The package may import ``functions``, ``types``, ``authorizer``, ``limits``, ``text`` and ``errors`` from
``ftsql.serve``. Other packages use ``statement.translate``. The set of features is frozen: a feature is added only if a
real tool sends a statement that needs it.
"""
