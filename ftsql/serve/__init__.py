"""``ftsql serve``: the file's tables and the live ones to whatever speaks PostgreSQL's protocol.

Read-only, and every client has a connection and a thread of its own.
"""
