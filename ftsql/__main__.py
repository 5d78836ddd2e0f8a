"""``python -m ftsql`` is the command ``ftsql``."""

from ftsql.cli.main import main

main()
