"""``python -m ftsql`` is the command ``ftsql``."""

from ftsql.command import main

main()
