"""The tracking store: where it is, whether it answers, and which experiment in it is ours."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from dnapair.errors import DnapairError
from dnapair.tracking.tags import NOTE_TAG, PARENT_VARIABLE

TROUBLE = (MlflowException, SQLAlchemyError)
"""What a store raises that does not do what it is asked."""

_EXPERIMENT = "dnapair"
_INTRODUCTION = (
    "Related DNA or not: each run is a pipeline. Unfold it for its stages; tick two and press Compare."
    "\n\n`chosen/` has the test metrics of the network that was registered, `torch/` and `tensorflow/` those "
    "of each. Trials are below `tune`, repeats with other seeds below `train`."
)

# they log what they raise, with tracebacks; what is raised is told by us
for _name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def store_address() -> str:
    """Return where the tracking store is, without the user and password that its address may hold."""
    return _without_user(mlflow.get_tracking_uri())


def reason(error: Exception) -> str:
    """Return an error's first line that says anything, without the user and password of an address in it."""
    # SQLAlchemy begins with a hint for programmers
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result")]
    words = _without_user(lines[0] if lines else type(error).__name__)
    return words if words.endswith(".") else words + "."


def check_store() -> None:
    """Ask the tracking store for its experiments.

    Raises
    ------
    DnapairError
        If it does not answer.
    """
    with asking():
        mlflow.MlflowClient().search_experiments(max_results=1)


@contextmanager
def asking() -> Iterator[None]:
    """Turn trouble with the store into a DnapairError that says where the store is and how to go on."""
    try:
        yield
    except TROUBLE as error:
        raise DnapairError(
            f"The MLflow tracking store {store_address()} does not answer: {reason(error)} Check "
            "MLFLOW_TRACKING_URI, or unset it to use mlflow.db in this folder. A server with users wants "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. What is finished is kept: the same "
            "command goes on from there."
        ) from None


def select_experiment() -> str:
    """Make the experiment current that the environment names, or our own; return its id."""
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if PARENT_VARIABLE in os.environ:
        given = str(mlflow.MlflowClient().get_run(os.environ[PARENT_VARIABLE]).info.experiment_id)
    if not given:
        # of two that make it at once, the second gets it from MLflow without it being made current
        given = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)).experiment_id
    experiment = mlflow.set_experiment(experiment_id=given)
    if experiment.name == _EXPERIMENT and NOTE_TAG not in experiment.tags:
        mlflow.MlflowClient().set_experiment_tag(experiment.experiment_id, NOTE_TAG, _INTRODUCTION)
    return str(experiment.experiment_id)


def all_experiments() -> list[str]:
    """Return the ids of all experiments; `mlflow run` has one of its own."""
    return [str(experiment.experiment_id) for experiment in mlflow.MlflowClient().search_experiments()]


def newest_runs(experiments: Sequence[str], condition: str, most: int) -> list[Run]:
    """Return the runs that meet a condition in MLflow's language, the newest first."""
    client, order = mlflow.MlflowClient(), ["attributes.start_time DESC"]
    return list(client.search_runs(list(experiments), condition, max_results=most, order_by=order))


def _without_user(words: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", words)
