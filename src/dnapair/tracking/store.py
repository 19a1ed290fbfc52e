"""The tracking store: where it is, whether it answers, and which experiment in it is ours."""

import logging
import os
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mlflow
from mlflow.entities import Experiment, LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode
from requests.utils import get_environ_proxies
from sqlalchemy.exc import SQLAlchemyError

from dnapair.errors import DnapairError
from dnapair.tracking.tags import KIND_TAG, NOTE_TAG
from dnapair.tracking.wording import reason, without_user

TROUBLE = (MlflowException, SQLAlchemyError)
"""What a store raises that does not do what it is asked."""

_EXPERIMENT = "dnapair"
_KIND = "custom_model_development"
_INTRODUCTION = (
    "Related DNA or not: each run is a pipeline. Unfold it for its stages; tick two and press Compare."
    "\n\n`chosen/` has the test metrics of the network that was registered, `torch/` and `tensorflow/` those "
    "of each. Trials are below `tune`, networks with other seeds below `train`."
)

# they log what they raise, with tracebacks; what is raised is told by us
for _name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def store_address() -> str:
    """Return where the tracking store is, without the user and password that its address may hold."""
    return without_user(mlflow.get_tracking_uri())


def check_store() -> None:
    """Ask the tracking store for its experiments.

    Raises
    ------
    DnapairError
        If it does not answer, or this folder can't have one.
    """
    _check_folder()
    with asking():
        mlflow.MlflowClient().search_experiments(max_results=1)


@contextmanager
def asking() -> Iterator[None]:
    """Turn trouble with the store into a DnapairError that says where the store is and how to go on."""
    try:
        yield
    except TROUBLE as error:
        advice = _past_the_proxy() or (
            "Check MLFLOW_TRACKING_URI, or unset it to use mlflow.db in this folder. A server with users "
            "wants MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
        raise DnapairError(
            f"The MLflow tracking store {store_address()} does not answer: {reason(error)} {advice} What is "
            "finished is kept: the same command goes on from there."
        ) from None


def select_experiment(parent: str | None = None) -> str:
    """Make an experiment current: a given run's, that of the environment, or our own; return its id.

    Raises
    ------
    DnapairError
        If it was deleted, or this folder can't have a store.
    """
    _check_folder()
    client = mlflow.MlflowClient()
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if parent:
        given = str(client.get_run(parent).info.experiment_id)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
    _check_not_deleted(client.get_experiment(given) if given else client.get_experiment_by_name(name))
    if not given:
        # of two that make it at once, the second gets it from MLflow without it being made current
        given = mlflow.set_experiment(name).experiment_id
    experiment = mlflow.set_experiment(experiment_id=given)
    # without a kind, its page may open on what is for language models
    wanted = {KIND_TAG: _KIND, **({NOTE_TAG: _INTRODUCTION} if experiment.name == _EXPERIMENT else {})}
    for tag, value in wanted.items():
        if tag not in experiment.tags:
            make_row(partial(client.set_experiment_tag, experiment.experiment_id, tag, value))
    return str(experiment.experiment_id)


def make_row(make: Callable[[], object]) -> None:
    """Do what makes a row in the store; anew, where somebody else made the same row at once."""
    try:
        make()
    except MlflowException as error:
        # asked again, the row is there
        if not may_be_second(error):
            raise
        make()


def may_be_second(error: MlflowException) -> bool:
    """Tell whether an error is what a database says to the second of two who make the same row at once."""
    return bool(error.error_code == ErrorCode.Name(BAD_REQUEST))


def all_experiments() -> list[str]:
    """Return the ids of all experiments; `mlflow run` has one of its own."""
    return [str(experiment.experiment_id) for experiment in mlflow.MlflowClient().search_experiments()]


def newest_runs(experiments: Sequence[str], condition: str, most: int) -> list[Run]:
    """Return the runs that meet a condition in MLflow's language, the newest first."""
    client, order = mlflow.MlflowClient(), ["attributes.start_time DESC"]
    return list(client.search_runs(list(experiments), condition, max_results=most, order_by=order))


def _check_folder() -> None:
    """Refuse a folder in which MLflow would put its records elsewhere, or lose them."""
    if mlflow.is_tracking_uri_set():  # type: ignore[no-untyped-call]
        return
    here = Path.cwd()
    if "/.dvc/tmp/exps/" in here.as_posix():
        raise DnapairError(
            "`dvc exp run` with --temp or --queue works in a copy of the project that is deleted afterwards, "
            "and its record in MLflow with it. Run it without; or serve the project's records (make server, "
            "in another terminal) and record there: export MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
        )
    path = os.fsencode(here)
    if {*b"'\""} <= {*path} or urllib.parse.unquote_to_bytes(path) != path or not _is_utf8(path):
        raise DnapairError(
            f"MLflow can't keep its records in {here}: both kinds of quotes, a percent code such as %20 or "
            "letters that are not UTF-8 in the path lead it astray. Give the folder another name."
        )
    if not os.access(here, os.W_OK) and not Path("mlflow.db").exists():
        raise DnapairError(
            f"{here} can't be written to, and MLflow's records would be in it (mlflow.db). Work in a copy of "
            "your own, or record elsewhere: export MLFLOW_TRACKING_URI=sqlite:////another/folder/mlflow.db"
        )
    if mlflow.get_tracking_uri().startswith("file:"):
        raise DnapairError(
            "mlruns holds records of an earlier MLflow, which this one takes for its store and refuses to "
            "write to. Leave them as they are and record in mlflow.db: export "
            "MLFLOW_TRACKING_URI=sqlite:///mlflow.db (to have them in a database: mlflow migrate-filestore)"
        )


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_not_deleted(experiment: Experiment | None) -> None:
    if experiment is not None and experiment.lifecycle_stage == LifecycleStage.DELETED:
        number = experiment.experiment_id
        raise DnapairError(
            f"The experiment {experiment.name} was deleted in the MLflow tracking store {store_address()}. "
            f"Record in another one (export MLFLOW_EXPERIMENT_NAME=another), or bring it back: mlflow "
            f"experiments restore --experiment-id {number}"
        )


def _past_the_proxy() -> str:
    """Say how to ask the store's server itself, where it is asked through a proxy; nothing elsewhere."""
    address = urllib.parse.urlsplit(store_address())
    proxies = get_environ_proxies(address.geturl()) if address.hostname else {}
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return ""
    return (
        f"It was asked through the proxy {without_user(proxy)}. If {address.hostname} is to be asked "
        f"itself: export no_proxy=$no_proxy,{address.hostname}"
    )
