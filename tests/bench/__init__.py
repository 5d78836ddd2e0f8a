"""ftsql beside its alternatives on one slow local server: ``python -m tests.bench`` prints the table."""
