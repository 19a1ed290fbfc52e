"""The record in MLflow: a parent run for a pipeline, a child run for each stage that did work.

A stage that DVC skipped made no run of its own this time. Its earlier run is found by what it wrote:
each stage's run is tagged with the SHA-256 of one file that stands for all its outputs, and the parent
carries a tag with the runs of the stages whose output lies in the workspace.

What a run did stands in its description. Metrics that belong together have a name with a slash: MLflow's
pages put them under one heading.
"""

import hashlib
import json
import os
import re
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import psutil
import yaml
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from dnapair.errors import DnapairError
from dnapair.storage.files import lock, sha256
from dnapair.tracking.outbox import Outbox, deliver, now, reason, send_kept

EXPERIMENT = "dnapair"
PARENT_VARIABLE = "DNAPAIR_PARENT_RUN_ID"
STAGE_TAG = "dnapair.stage"
OUTPUT_TAG = "dnapair.output_sha256"
TRIAL_TAG = "dnapair.trial"
STUDY_TAG = "dnapair.study"
PIPELINE_TAG = "dnapair.pipeline"
STAGES_TAG = "dnapair.stages"
"""On pipelines: JSON, the run of each stage."""
PROCESS_TAG = "dnapair.process"
_LONGEST_NAME = 200
TESTED_TAG = "dnapair.test_pairs_sha256"
"""On evaluations: runs that agree in it were tested on the same pairs."""
UNSENT = Path("artifacts/unsent")
"""What could not be sent to the tracking store, until the next command that reaches it."""
LOCKS = Path("artifacts/locks")
PATIENCE_VARIABLE = "DNAPAIR_TRACKING_PATIENCE"
"""Seconds that a finished stage waits for a tracking store that does not answer; 60 by default."""

FINISHED = RunStatus.to_string(RunStatus.FINISHED)
FAILED = RunStatus.to_string(RunStatus.FAILED)
_TROUBLE = (MlflowException, SQLAlchemyError)

NOTE_TAG = "mlflow.note.content"
_NOTE_LINE = 300
_NAME = 120
_INTRODUCTION = (
    "Related DNA or not: each run is a pipeline. Unfold it for its stages; tick two and press Compare."
    "\n\n`chosen/` has the test metrics of the network that was registered, `torch/` and `tensorflow/` those "
    "of each. Trials are below `tune`, repeats with other seeds below `train`."
)
# MLflow's own, such as bold-shrew-123
_MADE_UP_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")


class StageRun:
    """The open MLflow run of one stage.

    Parameters
    ----------
    run_id
        Its own run.
    parent_id
        The pipeline's run, or None for a stage that was started by hand.
    outbox
        Sends what is logged while the work goes on; without one each call is made at once.
    experiment
        Its experiment's id, which runs below it need.
    """

    def __init__(
        self, run_id: str, parent_id: str | None, outbox: Outbox | None = None, experiment: str = ""
    ) -> None:
        self.run_id = run_id
        self.parent_id = parent_id
        self.outbox = outbox
        self.experiment = experiment

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings and facts that do not change during the run."""
        self._log(params={key: str(value) for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers in one call; ``step`` is the epoch where there is one."""
        self._log(metrics={key: float(value) for key, value in metrics.items()}, step=step)

    def log_parent_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers on the pipeline's run too, where whole pipelines are compared."""
        if self.parent_id:
            StageRun(self.parent_id, None, self.outbox).log_metrics(metrics)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder, as artifacts; it must stay until the run's end."""
        self.put("files", path=str(path), folder=folder)

    def log_model(self, name: str, save: Callable[[Path], None]) -> None:
        """Log a model in MLflow's own form, which ``save`` writes to the path that it is given."""
        if self.outbox is None:
            raise RuntimeError("a model is logged to the run of a stage")
        folder = self.outbox.scratch() / name
        save(folder)
        self.put("model", path=str(folder), name=name)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags in one call."""
        self._log(tags=dict(tags))

    def put(self, do: str, **values: Any) -> None:
        """Have one of the outbox's calls made for this run."""
        if self.outbox is None:
            deliver(mlflow.MlflowClient(), {"do": do, "run": self.run_id, **values}, {})
        else:
            self.outbox.put(do, self.run_id, **values)

    def _log(
        self,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        values = {"params": params or {}, "metrics": metrics or {}, "tags": tags or {}}
        self.put("log", **values, step=step, time=now())

    def describe(self, words: str) -> None:
        """Set the description, in Markdown; its first line also stands on the pipeline's page."""
        self.set_tags({NOTE_TAG: words})


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
    with lock(LOCKS / f"{stage}.lock", f"at work on the stage {stage} in this folder"):
        with _asking():
            experiment = _select_experiment()
            client = mlflow.MlflowClient()
            send_kept(UNSENT)
            _end_killed_runs(client, experiment)
            parent = _parent_run(client, experiment)
            tags = {
                STAGE_TAG: stage,
                "mlflow.source.name": f"dnapair {stage.replace('@', ' ')}",
                **_source_tags(),
            }
            # a parent's id in the environment would be taken for this stage's own run
            os.environ.pop("MLFLOW_RUN_ID", None)
            active = mlflow.start_run(run_name=stage.replace("@", " "), parent_run_id=parent, tags=tags)
            log_dataset()
        outbox = Outbox(UNSENT)
        run = StageRun(active.info.run_id, parent, outbox, experiment)
        run.log_params(params)
        try:
            yield run
            run.set_tags({OUTPUT_TAG: sha256(identities[stage])})
        except BaseException as error:
            run.describe(f"Failed: {error}" if isinstance(error, DnapairError) else "Failed.")
            _end(run, outbox, FAILED, 0.0)
            _end_own_parent(parent, FAILED)
            raise
        if _end(run, outbox, FINISHED, _patience()) and parent:
            # it is done anew at the end of each stage
            with suppress(*_TROUBLE):
                link_stages(parent, identities)
            _end_own_parent(parent, FINISHED)


def _end(run: StageRun, outbox: Outbox, status: str, patience: float) -> bool:
    """Send or keep all that was logged, and the end of the run; return whether it was sent."""
    run.put("end", status=status, time=now(), drop=PROCESS_TAG)
    sent = outbox.close(patience)
    if not sent:
        # nothing that matters is asked of the store any more, so no wait for its answer
        os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}
    # takes it off MLflow's list of open runs too
    with suppress(*_TROUBLE):
        mlflow.end_run(status)
    return sent


def _patience() -> float:
    return float(os.environ.get(PATIENCE_VARIABLE, "60"))


def _end_own_parent(parent: str | None, status: str) -> None:
    """End the parent of a bare `dvc repro`, whose stages each do so: none knows whether it is the last."""
    if parent and PARENT_VARIABLE not in os.environ:
        with suppress(*_TROUBLE):
            mlflow.MlflowClient().set_terminated(parent, status)


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
    outbox = stage.outbox or Outbox(UNSENT)
    trial = f"{study}/{number}"
    stage.put("end trial", experiment=stage.experiment, tag=TRIAL_TAG, trial=trial)
    tags = resolve_tags({TRIAL_TAG: trial, PROCESS_TAG: _process()})
    run = StageRun(
        outbox.start(stage.experiment, f"{kind} {number}", tags, stage.run_id), stage.run_id, outbox
    )
    run.log_params(params)
    status = FAILED
    try:
        yield run
        status = FINISHED
    finally:
        run.put("end", status=status, time=now())
        if stage.outbox is None:
            outbox.close(_patience())
        else:
            outbox.settle()


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
    info = found[0].info
    mlflow.set_experiment(experiment_id=info.experiment_id)
    return StageRun(str(info.run_id), None, experiment=str(info.experiment_id))


@contextmanager
def pipeline_run(words: Sequence[str], settings: Mapping[str, Any]) -> Iterator[str]:
    """Open the parent run of a whole pipeline: the `mlflow run`'s own, where that started us.

    Parameters
    ----------
    words
        What tells this pipeline from others: the stages asked for, and the settings changed.
    settings
        The content of params.yaml with these changes.

    Yields
    ------
    str
        The run's id, for the environment variable :data:`PARENT_VARIABLE` of the stages.
    """
    given = os.environ.get("MLFLOW_RUN_ID")
    with _asking():
        client = mlflow.MlflowClient()
        if given:
            client.log_batch(given, tags=[RunTag(k, v) for k, v in _source_tags().items()])
            if _MADE_UP_NAME.fullmatch(client.get_run(given).info.run_name or ""):
                client.update_run(given, name=_pipeline_name(words))
            active = mlflow.start_run(run_id=given)
        else:
            _select_experiment()
            active = mlflow.start_run(run_name=_pipeline_name(words), tags=_source_tags())
        parent = str(active.info.run_id)
        send_kept(UNSENT)
        _log_settings(parent, settings)
        log_dataset()
    try:
        yield parent
    except BaseException:
        # the reason is what is to be told
        with suppress(*_TROUBLE):
            mlflow.end_run(FAILED)
        raise
    with _asking():
        client.delete_tag(parent, PROCESS_TAG)
        mlflow.end_run(FINISHED)


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
            # of the same output in two workspaces, this one's: others may use the same server
            own = [run for run in runs if run.data.tags.get(MLFLOW_PARENT_RUN_ID) == parent]
            run = (own or runs)[0]
            info = run.info
            links[stage] = str(info.run_id)
            did = run.data.tags.get(NOTE_TAG, "").partition("\n")[0]
            page = f"#/experiments/{info.experiment_id}/runs/{info.run_id}"
            lines.append(f"- [{stage.replace('@', ' ')}]({page}): {did[:_NOTE_LINE]}")
    # what came out stands first: pages show the beginning only
    note = "\n".join(
        [*reversed(lines), "", "These runs made what lies in the workspace, those of skipped stages too."]
    )
    client.log_batch(parent, tags=[RunTag(STAGES_TAG, json.dumps(links)), RunTag(NOTE_TAG, note)])
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
    """Log the raw data as the active run's input, under the first letters of the hash that DVC gives it."""
    if not pointer.is_file():
        return
    try:
        content = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        out = content["outs"][0]
        origin = next((str(dep["path"]) for dep in content.get("deps", [])), str(out["path"]))
        digest = str(out["md5"])[:36]
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DnapairError(
            f"{pointer} is not what DVC writes. Bring the data anew: dnapair use WHERE"
        ) from None
    with warnings.catch_warnings():
        # MLflow warns that two of its own classes fit a local path
        warnings.simplefilter("ignore", UserWarning)
        source = resolve_dataset_source(origin)
    dataset = MetaDataset(source, name=Path(origin).name, digest=digest[:8])  # type: ignore[abstract]  # it has a default at run time
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
    links = json.loads(parent.data.tags.get(STAGES_TAG, "{}"))
    return {stage: client.get_run(run) for stage, run in links.items() if stage.startswith(prefix)}


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
    """Turn words into a part of a metric's name, which is no path: letters outside MLflow's become ``_``."""
    plain = re.sub(r"[^\w.:-]+", "_", words, flags=re.ASCII).strip("_")
    if len(plain) > _LONGEST_NAME:
        # what was cut off may be all that tells two names apart
        plain = f"{plain[:_LONGEST_NAME]}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return plain


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
    with _asking():
        mlflow.MlflowClient().search_experiments(max_results=1)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except _TROUBLE as error:
        raise DnapairError(
            f"The MLflow tracking store {store_address()} does not answer: {reason(error)} Check "
            "MLFLOW_TRACKING_URI, or unset it to use mlflow.db in this folder. A server with users wants "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. What is finished is kept: the same "
            "command goes on from there."
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
    experiment = mlflow.set_experiment(experiment_id=given)
    if experiment.name == EXPERIMENT and NOTE_TAG not in experiment.tags:
        mlflow.MlflowClient().set_experiment_tag(experiment.experiment_id, NOTE_TAG, _INTRODUCTION)
    return str(experiment.experiment_id)


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
    tags = {PIPELINE_TAG: pipeline, "mlflow.source.name": "dvc", **_source_tags()}
    run = str(client.create_run(experiment, run_name=_pipeline_name([]), tags=tags).info.run_id)
    _log_settings(run, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    return run


def _log_settings(run: str, settings: Mapping[str, Any]) -> None:
    """Log params.yaml on a pipeline's run, so that pipelines are told apart by what was set."""
    # `mlflow run` logs what it was given as it was written, and nothing may be logged twice
    known = mlflow.MlflowClient().get_run(run).data.params
    # neither pretraining nor serving is a part of the pipeline
    flat = _flatten({name: own for name, own in settings.items() if name not in ("pretrain", "serve")})
    StageRun(run, None).log_params({key: value for key, value in flat.items() if key not in known})


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _dvc_process() -> str | None:
    """Name the `dvc` process that started this stage, the same for all stages it starts."""
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:3]):
                # since the machine's start: the same for all stages whatever becomes of its clock meanwhile
                age = process.create_time() - psutil.boot_time()
                return f"{_host()}-{process.pid}-{age:.2f}"
        except psutil.Error:
            return None
    return None


def _pipeline_name(words: Sequence[str]) -> str:
    # what differs comes first: a narrow column shows no more
    return f"{' '.join(words)[:_NAME] or 'pipeline'} {datetime.now():%m-%d %H:%M}"


def _source_tags() -> dict[str, str]:
    tags = {PROCESS_TAG: _process()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": commit.stdout.strip()} if commit.returncode == 0 else {})


def _process() -> str:
    return f"{_host()}:{os.getpid()}"


def _host() -> str:
    return socket.gethostname()


def _end_killed_runs(client: mlflow.MlflowClient, experiment: str) -> None:
    """Mark runs as KILLED that say RUNNING, but whose process on this machine is no more."""
    host = f"{socket.gethostname()}:"
    running = client.search_runs(
        [experiment], f"attributes.status = 'RUNNING' and tags.`{PROCESS_TAG}` LIKE '{host}%'"
    )
    for run in running:
        if not psutil.pid_exists(int(run.data.tags[PROCESS_TAG].removeprefix(host))):
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
