"""PostgreSQL's protocol for BI tools, over SQLite: the server, the catalog, and the translation of SQL.

The package may import everything but ``cli``, which uses ``ftsql.serve.command.serve``. Importing the package loads
nothing, because its modules need the extra ``serve``. The package writes nothing: a statement that would write is
refused before SQLite sees it.
"""
