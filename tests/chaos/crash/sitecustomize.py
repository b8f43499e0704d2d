"""Loaded by Python itself into each process of a run under test, because tests/chaos/command.py puts this folder first
on its path. Nothing of it is in what is shipped.
"""

from points import from_environment

from_environment()
