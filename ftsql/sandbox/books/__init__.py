"""The books: the state of a sandbox, in one SQLite database, independent of any provider's API.

The server and the faces use ``books.books.Books``. The package imports no other part of the sandbox.
"""
