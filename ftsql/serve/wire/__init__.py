"""PostgreSQL's wire protocol: the server, and the conversation with each client.

The package may import everything in ``ftsql.serve`` except ``command``, which uses ``server.Server``.
"""
