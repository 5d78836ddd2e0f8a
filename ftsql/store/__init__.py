"""The store: one SQLite file with the rows that the APIs showed, the coverage of those rows, and the write journal.

The package may import ``api``, ``resources``, ``settings`` and ``errors``. Other packages use ``database`` (Store),
``cache`` (Cache, Choice) and ``journal`` (Journal, Entry), and import these modules directly.
"""
