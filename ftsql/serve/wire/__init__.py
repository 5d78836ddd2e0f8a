"""PostgreSQL's wire protocol: the server, and the conversation with each client.

The package may import everything of ``ftsql.serve`` but ``command``, which uses ``server.Server``.
"""
