"""What most commands import, for the process that the tests' commands are forked from."""

import gc
import importlib

from dnapair.machine.environment import set_environment

set_environment()

for name in (
    "matplotlib.pyplot",
    "mlflow.pyfunc",
    "sklearn.ensemble",
    "keras_tuner",
    # which the first optimizer and the first model that is kept would import
    "torch._dynamo",
    "torch.export._trace",
    "mlflow.pytorch",
    "mlflow.tensorflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "dnapair.checks.expectations",
    "dnapair.embedding.embedder",
    "dnapair.tracking",
    "dnapair.training.tensorflow_learner",
    "dnapair.training.torch_learner",
):
    importlib.import_module(name)
# shared with the forks for good
gc.freeze()
