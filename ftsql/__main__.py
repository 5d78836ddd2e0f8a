"""Run the command ``ftsql`` for ``python -m ftsql``."""

from ftsql.cli.main import main

main()
