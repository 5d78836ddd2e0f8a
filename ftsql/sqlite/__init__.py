"""ftsql inside SQLite: the virtual tables, SQL functions and authorizer of one connection, served through APSW.

The package owns every callback that SQLite calls, the ``Session`` of a connection, and the checks that read a
statement's bytecode. It may import ``ftsql.write`` and the packages that ``ftsql.write`` may import.
``ftsql.registration`` uses ``install``, ``uninstall``, ``Session`` and ``explain``. ``ftsql.dbapi`` uses the names of
the functions with effects, and ``ftsql.serve`` uses the authorizer's list of writes.

The package exports nothing: its users import the modules that they need.
"""
