"""Recorded evaluations, found again."""

import json
from pathlib import Path
from typing import NamedTuple

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from dnapair.errors import DnapairError
from dnapair.tracking.store import all_experiments, check_store, newest_runs, store_address
from dnapair.tracking.tags import STAGE_TAG, STAGES_TAG, TESTED_TAG
from dnapair.tracking.wording import reason

_STAGE = "evaluate@"


class Evaluation(NamedTuple):
    """The run of a stage ``evaluate``.

    Attributes
    ----------
    run : Run
        As MLflow has it.
    """

    run: Run

    @property
    def name(self) -> str:
        """The run's name, and enough of its id to tell it from others."""
        return f"{self.run.info.run_name} {self.run.info.run_id[:8]}"

    @property
    def tested(self) -> str | None:
        """What two evaluations agree in that were tested on the same pairs."""
        return self.run.data.tags.get(TESTED_TAG)

    @property
    def threshold(self) -> float:
        """The probability from which on pairs were called related."""
        return self.run.data.metrics["test/threshold"]

    def predictions(self) -> Path:
        """Fetch predictions.csv; return where it lies.

        Raises
        ------
        DnapairError
            If the run has none.
        """
        info, path = self.run.info, "reports/predictions.csv"
        try:
            return Path(mlflow.artifacts.download_artifacts(run_id=info.run_id, artifact_path=path))
        except (MlflowException, OSError) as error:
            raise DnapairError(
                f"The run {info.run_name} ({info.run_id}) has no {path}: {reason(error)}"
            ) from None


def find_evaluations(words: str) -> dict[str, Evaluation]:
    """Find a run that is an evaluation, or those that a pipeline's run is linked with.

    Parameters
    ----------
    words
        The run's id, the first letters of its id, or its name; of equal names the newest is meant.

    Returns
    -------
    dict
        Evaluations by the names of their stages in dvc.yaml.

    Raises
    ------
    DnapairError
        If the tracking store does not answer, there is no such run, the letters begin several ids, or the
        run has to do with no evaluation.
    """
    check_store()
    run = _find_run(words)
    stage = run.data.tags.get(STAGE_TAG, "")
    if stage.startswith(_STAGE):
        return {stage: Evaluation(run)}
    links = json.loads(run.data.tags.get(STAGES_TAG, "{}"))
    client = mlflow.MlflowClient()
    linked = {
        stage: Evaluation(client.get_run(one)) for stage, one in links.items() if stage.startswith(_STAGE)
    }
    if not linked:
        raise DnapairError(
            f"The run {run.info.run_name} ({run.info.run_id}) is no evaluation, and no pipeline that has one."
        )
    return linked


def _find_run(words: str) -> Run:
    plain = words.replace("'", "")
    experiments = all_experiments()
    found = newest_runs(experiments, f"attributes.run_id LIKE '{plain}%'", 2)
    if len(found) > 1:
        raise DnapairError(f"{words!r} begins the ids of several runs: give more of it.")
    found = found or newest_runs(experiments, f"attributes.run_name = '{plain}'", 1)
    if not found:
        raise DnapairError(
            f"The tracking store {store_address()} has no run with the id or name {words!r}. "
            "Its pages list those there are (without a server: `make server`)."
        )
    return found[0]
