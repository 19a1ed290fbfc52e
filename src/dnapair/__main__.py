"""Lets `python -m dnapair` do what the command `dnapair` does; dvc.yaml's stages call it so."""

from dnapair.commands.handover import hand_over

hand_over()

# only where the work is done here
from dnapair.cli import command  # noqa: E402

command()
