"""Reading for one statement: what to request, which pages to read, and which rows to take from the store.

The package may import ``store``, ``api``, ``resources`` and ``settings``; ``sqlite`` and ``write`` use it.
``plan.plan`` chooses which constraints of a WHERE clause are pushed down, and ``scan.scan`` yields the rows of a plan.
``statement_cache.StatementCache`` holds everything that one statement has read. ``other_resources.OtherResources`` and
``files.Results`` read the other tables, and ``metadata_filter`` has the SQL function metadata_has. Import these modules
directly: the package exports nothing, so that importing one module does not load the others.
"""
