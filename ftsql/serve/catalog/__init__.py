"""pg_catalog and information_schema: the relations that clients see, and what PostgreSQL says about them.

The package may import everything of ``ftsql.serve`` but ``command``, ``wire`` and ``backend``, which uses it.
"""
