"""What most commands import, for the process that the tests' commands are forked from."""

import importlib

from dnapair.machine.environment import set_environment

set_environment()

for name in (
    "matplotlib.pyplot",
    "mlflow.pyfunc",
    "sklearn.ensemble",
    "dnapair.checks.expectations",
    "dnapair.embedding.embedder",
    "dnapair.tracking",
):
    importlib.import_module(name)
