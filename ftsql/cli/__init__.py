"""The command ``ftsql``: SQL from arguments, a file, a pipe or the prompt, and the subcommands.

The package may import every other package; no package imports it. The console script calls ``main.main``. This module
exports nothing, so importing it loads no other module.
"""
