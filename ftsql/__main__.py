"""``python -m ftsql`` is the command ``ftsql``."""

from ftsql.shell import main

main()
