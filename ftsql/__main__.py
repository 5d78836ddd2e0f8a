"""Run the command ``ftsql`` by ``python -m ftsql``."""

from ftsql.cli.main import main

main()
