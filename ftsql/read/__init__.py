"""Reading for one statement: what to request, which pages to read, and which rows to take from the store.

It may import store, api, resources and settings. Its users are sqlite and write: ``plan.plan`` chooses what a WHERE
pushes down, ``scan.scan`` yields the rows of a plan, ``statement_cache.StatementCache`` holds what one statement has
read, ``other_resources.OtherResources`` and ``files.Results`` read the tables beside the jobs, and ``metadata_filter``
is the SQL function metadata_has. Import these modules directly: the package exports nothing, so that a module costs
only what it needs.
"""
