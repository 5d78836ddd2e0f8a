"""PostgreSQL's functions, written in Python, for SQLite's connections.

The package may import ``types``, ``authorizer``, ``limits``, ``text`` and ``errors`` of ``ftsql.serve``. Others use
``register.register``; the translation also computes constants with these functions. The set of functions is frozen: a
new one needs a statement that a real tool sends.
"""
