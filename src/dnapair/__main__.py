"""Lets `python -m dnapair` do what the command `dnapair` does."""

from dnapair.cli import main

main()
