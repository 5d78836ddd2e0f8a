"""The resources that the APIs serve: the model of each table, its columns, and the rows made from decoded objects.

The package may import ``interrupts`` and ``errors``. All packages above it use ``definitions`` (JOBS, EVENTS, FILES, …,
TABLES, is_finished) and ``resource`` (Resource, Row, SQLiteValue, json_text); ``store``, ``read`` and ``sqlite`` use
``cells``. They import these modules directly: ``validation`` needs pydantic, which is slow to load, and loads only when
there is something to validate.
"""
