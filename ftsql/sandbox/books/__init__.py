"""The books: the state of a sandbox, in one SQLite database, independent of any provider's API.

``books.books.Books`` is the entry point for the server and the faces. The package imports nothing else of the sandbox.
"""
