"""The record in MLflow: a parent run for a pipeline, a child run for each stage that did work.

A stage that DVC skipped made no run of its own this time. Its earlier run is found by what it wrote:
each stage's run is tagged with the SHA-256 of one file that stands for all its outputs, and the parent
carries a tag with the run of every stage whose output lies in the workspace.
"""

import os
import re
import socket
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import psutil
import yaml
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from dnapair.errors import DnapairError
from dnapair.files import sha256

EXPERIMENT = "dnapair"
PARENT_VARIABLE = "DNAPAIR_PARENT_RUN_ID"
STAGE_TAG = "dnapair.stage"
OUTPUT_TAG = "dnapair.output_sha256"
TRIAL_TAG = "dnapair.trial"
STUDY_TAG = "dnapair.study"
PIPELINE_TAG = "dnapair.pipeline"
LINK_PREFIX = "dnapair.run."
PROCESS_TAG = "dnapair.process"
TESTED_TAG = "dnapair.test_pairs_sha256"
"""On evaluations: runs that agree in it were tested on the same pairs."""


class StageRun:
    """The open MLflow run of one stage.

    Parameters
    ----------
    run_id
        Its own run.
    parent_id
        The pipeline's run, or None for a stage that was started by hand.
    """

    def __init__(self, run_id: str, parent_id: str | None) -> None:
        self.run_id = run_id
        self.parent_id = parent_id
        self._client = mlflow.MlflowClient()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings and facts that do not change during the run."""
        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers in one call; ``step`` is the epoch where there is one."""
        now = int(datetime.now().timestamp() * 1000)
        batch = [Metric(key, float(value), now, step) for key, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=batch)

    def log_parent_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers on the pipeline's run too, where whole pipelines are compared."""
        if self.parent_id:
            StageRun(self.parent_id, None).log_metrics(metrics)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder, as artifacts."""
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), folder)
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags in one call."""
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


@contextmanager
def stage_run(stage: str, params: Mapping[str, Any], identities: Mapping[str, Path]) -> Iterator[StageRun]:
    """Open the run of a stage, and close it with what became of it.

    Parameters
    ----------
    stage
        The stage's name in dvc.yaml, for example ``"train@torch"``.
    params
        The settings the stage read, by their names in params.yaml.
    identities
        For every stage the file that stands for its outputs.

    Yields
    ------
    StageRun
        The run: FINISHED and tagged with its output's hash if the block ends well, else FAILED.
    """
    experiment = _select_experiment()
    client = mlflow.MlflowClient()
    _end_killed_runs(client, experiment)
    parent = _parent_run(client, experiment)
    tags = {STAGE_TAG: stage, **_source_tags()}
    # a parent's id in the environment would be taken for this stage's own run
    os.environ.pop("MLFLOW_RUN_ID", None)
    with mlflow.start_run(run_name=stage.replace("@", " "), parent_run_id=parent, tags=tags) as active:
        run = StageRun(active.info.run_id, parent)
        run.log_params(params)
        log_dataset()
        try:
            yield run
        except BaseException:
            if parent and PARENT_VARIABLE not in os.environ:
                client.set_terminated(parent, RunStatus.to_string(RunStatus.FAILED))
            raise
        run.set_tags({OUTPUT_TAG: sha256(identities[stage])})
    if parent:
        link_stages(parent, identities)
        if PARENT_VARIABLE not in os.environ:
            client.set_terminated(parent, RunStatus.to_string(RunStatus.FINISHED))


@contextmanager
def trial_run(
    stage: StageRun, study: str, number: int, params: Mapping[str, Any], kind: str = "trial"
) -> Iterator[StageRun]:
    """Open the run of a tuning trial, or of another part of a stage, under its stage's run.

    Parameters
    ----------
    stage
        The open run of the stage.
    study
        Name of the search: a run of the same trial that a killed search left open is marked KILLED.
    number
        The trial's number in the search, from 1.
    params
        What it tries.
    kind
        What its name begins with.

    Yields
    ------
    StageRun
        The run.
    """
    client = mlflow.MlflowClient()
    trial = f"{study}/{number}"
    experiment = client.get_run(stage.run_id).info.experiment_id
    left_open = f"tags.`{TRIAL_TAG}` = '{trial}' and attributes.status = 'RUNNING'"
    for found in client.search_runs([experiment], left_open):
        client.set_terminated(found.info.run_id, RunStatus.to_string(RunStatus.KILLED))
    with mlflow.start_run(
        run_name=f"{kind} {number}",
        nested=True,
        parent_run_id=stage.run_id,
        tags={TRIAL_TAG: trial, PROCESS_TAG: _process()},
    ) as active:
        run = StageRun(active.info.run_id, stage.run_id)
        run.log_params(params)
        yield run


def join_search(study: str) -> StageRun:
    """Find the open run of the stage that leads a search, so that trials can be put under it.

    Parameters
    ----------
    study
        Name of the search, which the run is tagged with.

    Returns
    -------
    StageRun
        The run. Its experiment is the current one from here on.

    Raises
    ------
    DnapairError
        If there is none.
    """
    check_store()
    client = mlflow.MlflowClient()
    experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
    led = f"tags.`{STUDY_TAG}` = '{study}' and attributes.status = 'RUNNING'"
    found = client.search_runs(experiments, led, max_results=1, order_by=["attributes.start_time DESC"])
    if not found:
        raise DnapairError(
            f"The MLflow tracking store {store_address()} has no chief that searches with these "
            "settings and data. A worker needs the chief's MLFLOW_TRACKING_URI, params.yaml and "
            "artifacts/normalized."
        )
    mlflow.set_experiment(experiment_id=found[0].info.experiment_id)
    return StageRun(str(found[0].info.run_id), None)


@contextmanager
def pipeline_run() -> Iterator[str]:
    """Open the parent run of a whole pipeline: the `mlflow run`'s own, where that started us.

    Yields
    ------
    str
        The run's id, for the environment variable :data:`PARENT_VARIABLE` of the stages.
    """
    given = os.environ.get("MLFLOW_RUN_ID")
    if given:
        mlflow.MlflowClient().log_batch(given, tags=[RunTag(k, v) for k, v in _source_tags().items()])
        with mlflow.start_run(run_id=given):
            log_dataset()
            yield given
    else:
        _select_experiment()
        with mlflow.start_run(run_name=_pipeline_name(), tags=_source_tags()) as active:
            log_dataset()
            yield active.info.run_id


def link_stages(parent: str, identities: Mapping[str, Path]) -> dict[str, str]:
    """Tag the parent with the run that made each output in the workspace, run now or earlier.

    Parameters
    ----------
    parent
        The pipeline's run.
    identities
        For every stage the file that stands for its outputs; missing files are passed over.

    Returns
    -------
    dict
        Run id by stage.
    """
    client = mlflow.MlflowClient()
    # `mlflow run` has an experiment of its own: the earlier run may be in another one
    experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
    links = {}
    lines = []
    for stage, path in identities.items():
        runs = find_stage_runs(stage, sha256(path), experiments) if path.is_file() else []
        if runs:
            info = runs[0].info
            links[stage] = str(info.run_id)
            lines.append(
                f"- **{stage}**: [{info.run_id}](#/experiments/{info.experiment_id}/runs/{info.run_id})"
            )
    note = "The runs that made what lies in the workspace, those of skipped stages too:\n\n" + "\n".join(
        lines
    )
    tags = [RunTag(LINK_PREFIX + stage.replace("@", "."), run) for stage, run in links.items()]
    client.log_batch(parent, tags=[*tags, RunTag("mlflow.note.content", note)])
    return links


def find_stage_runs(stage: str, output_sha256: str, experiments: Sequence[str]) -> list[Run]:
    """Return the finished runs of a stage that wrote exactly this output, the newest first."""
    return list(
        mlflow.MlflowClient().search_runs(
            list(experiments),
            f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{OUTPUT_TAG}` = '{output_sha256}' "
            "and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=10,
        )
    )


def log_dataset(pointer: Path = Path("data.dvc")) -> None:
    """Log the raw data, under the hash that DVC knows it by, as the active run's input."""
    if not pointer.is_file():
        return
    content = yaml.safe_load(pointer.read_text(encoding="utf-8"))
    out = content["outs"][0]
    origin = next((str(dep["path"]) for dep in content.get("deps", [])), str(out["path"]))
    with warnings.catch_warnings():
        # MLflow warns that two of its own classes fit a local path
        warnings.simplefilter("ignore", UserWarning)
        source = resolve_dataset_source(origin)
    dataset = MetaDataset(source, name=Path(origin).name, digest=out["md5"][:36])  # type: ignore[abstract]  # it has a default at run time
    mlflow.log_input(dataset, context="pipeline")


def find_run(words: str) -> Run:
    """Find a run by its id, the first letters of its id, or its name; of equal names the newest.

    Raises
    ------
    DnapairError
        If there is none, or the letters begin several ids.
    """
    client = mlflow.MlflowClient()
    experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
    order = ["attributes.start_time DESC"]
    plain = words.replace("'", "")
    for condition, several in (
        (f"attributes.run_id LIKE '{plain}%'", True),
        (f"attributes.run_name = '{plain}'", False),
    ):
        found = client.search_runs(experiments, condition, order_by=order, max_results=2)
        if len(found) > 1 and several:
            raise DnapairError(f"{words!r} begins the ids of several runs: give more of it.")
        if found:
            return found[0]
    raise DnapairError(
        f"The tracking store {store_address()} has no run with the id or name {words!r}. "
        "Its pages list those there are (without a server: `make server`)."
    )


def linked_runs(parent: Run, prefix: str) -> dict[str, Run]:
    """Return the runs that a pipeline's run is linked with whose stages begin with ``prefix``."""
    client = mlflow.MlflowClient()
    links = {
        key.removeprefix(LINK_PREFIX): run
        for key, run in parent.data.tags.items()
        if key.startswith(LINK_PREFIX + prefix)
    }
    return {stage: client.get_run(run) for stage, run in links.items()}


def download(run: Run, path: str) -> Path:
    """Fetch an artifact of a run; return where it lies.

    Raises
    ------
    DnapairError
        If the run has no such artifact.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path))
    except (MlflowException, OSError) as error:
        raise DnapairError(
            f"The run {run.info.run_name} ({run.info.run_id}) has no {path}: {str(error).splitlines()[0]}"
        ) from None


def metric_name(words: str) -> str:
    """Turn words into a name that MLflow takes: letters outside its alphabet become ``_``."""
    return re.sub(r"[^\w./: -]+", "_", words, flags=re.ASCII).replace(" ", "_")


def store_address() -> str:
    """Return where the tracking store is, without the user and password that its address may hold."""
    return re.sub(r"(?<=://)[^/@]*@", "", mlflow.get_tracking_uri())


def run_page(run_id: str) -> str:
    """Say where a run is looked at: its page on the server, or how to start one for the store."""
    info = mlflow.MlflowClient().get_run(run_id).info
    page = f"/#/experiments/{info.experiment_id}/runs/{run_id}"
    address = store_address().rstrip("/")
    if address.startswith("http"):
        return address + page
    return f"`make server`, then http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '5000')}{page}"


def check_store() -> None:
    """Ask the tracking store for its experiments.

    Raises
    ------
    DnapairError
        If it does not answer.
    """
    try:
        mlflow.MlflowClient().search_experiments(max_results=1)
    except MlflowException as error:
        raise DnapairError(
            f"The MLflow tracking store {store_address()} does not answer: {error.message} "
            "Check MLFLOW_TRACKING_URI, or unset it to use mlflow.db in this folder. "
            "A server with users wants MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        ) from None


def _select_experiment() -> str:
    """Make the experiment current that the environment names, or our own; return its id."""
    check_store()
    given = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if PARENT_VARIABLE in os.environ:
        given = str(mlflow.MlflowClient().get_run(os.environ[PARENT_VARIABLE]).info.experiment_id)
    if not given:
        # of two that make it at once, the second gets it from MLflow without it being made current
        given = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)).experiment_id
    return str(mlflow.set_experiment(experiment_id=given).experiment_id)


def _parent_run(client: mlflow.MlflowClient, experiment: str) -> str | None:
    given = os.environ.get(PARENT_VARIABLE)
    if given:
        return given
    pipeline = _dvc_process()
    if pipeline is None:
        return None
    found = client.search_runs([experiment], f"tags.`{PIPELINE_TAG}` = '{pipeline}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {PIPELINE_TAG: pipeline, **_source_tags()}
    return str(client.create_run(experiment, run_name=_pipeline_name(), tags=tags).info.run_id)


def _dvc_process() -> str | None:
    """Name the `dvc` process that started this stage, the same for all stages it starts."""
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:3]):
                return f"{process.pid}-{process.create_time():.0f}"
        except psutil.Error:
            return None
    return None


def _pipeline_name() -> str:
    return f"pipeline {datetime.now():%Y-%m-%d %H:%M:%S}"


def _source_tags() -> dict[str, str]:
    tags = {PROCESS_TAG: _process()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": commit.stdout.strip()} if commit.returncode == 0 else {})


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _end_killed_runs(client: mlflow.MlflowClient, experiment: str) -> None:
    """Mark runs as KILLED that say RUNNING, but whose process on this machine is no more."""
    host = f"{socket.gethostname()}:"
    running = client.search_runs(
        [experiment], f"attributes.status = 'RUNNING' and tags.`{PROCESS_TAG}` LIKE '{host}%'"
    )
    for run in running:
        if not psutil.pid_exists(int(run.data.tags[PROCESS_TAG].removeprefix(host))):
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
