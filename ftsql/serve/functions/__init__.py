"""PostgreSQL's functions, written in Python, for SQLite connections.

The package may import ``types``, ``authorizer``, ``limits``, ``text`` and ``errors`` from ``ftsql.serve``. Other
packages use ``register.register``, and the translation computes constants with these functions. The set of functions is
frozen: a function is added only if a real tool sends a statement that needs it.
"""
