"""The command ``ftsql``: runs SQL from arguments, a file, a pipe or the prompt, and has subcommands.

The package may import every other package, but no package imports it. The console script calls ``main.main``. This
module exports nothing, so importing it loads no other module.
"""
