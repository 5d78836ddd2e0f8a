"""pg_catalog and information_schema: the relations that clients see, and PostgreSQL's descriptions of them.

The package may import everything in ``ftsql.serve`` except ``command``, ``wire`` and ``backend``. ``backend`` uses it.
"""
