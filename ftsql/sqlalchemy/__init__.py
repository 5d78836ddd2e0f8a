"""The SQLAlchemy dialect for ``ftsql://`` URLs, and the Superset engine specification for that dialect.

The package owns the translation from SQLAlchemy and Superset to ``ftsql.dbapi``; it may import that package and
everything below it. SQLAlchemy and Superset find ``dialect`` and ``superset`` by their entry points, so this module
exports nothing: importing it needs neither of them.
"""
