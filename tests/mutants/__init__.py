"""Planted bugs: small changes of the code, one at a time, each of which a test should notice.

``python -m tests.mutants --seed 1 --bugs 600`` samples them over the core and runs for each the tests that come to its
line, the most specific first. mutmut and cosmic-ray were looked at: the one starts every test in a fork of a process
whose threads and servers do not survive it, the other runs one command for all bugs, which takes minutes here.
"""
