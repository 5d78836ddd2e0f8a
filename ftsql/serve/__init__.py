"""PostgreSQL's protocol for BI tools: what they send, answered from SQLite.

Nothing here writes: a statement that would is refused before SQLite sees it.
"""
