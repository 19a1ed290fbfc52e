"""A run that is open, and what can be logged to it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnapair.tracking.outbox import Outbox, deliver, now
from dnapair.tracking.tags import NOTE_TAG, STUDY_TAG

_LONGEST_NAME = 200


@dataclass(frozen=True)
class StageRun:
    """The open MLflow run of one stage.

    Metrics that belong together have a name with a slash: MLflow's pages put them under one heading.

    Attributes
    ----------
    run : str
        Its own run: the id, or the name by which its outbox means it.
    pipeline : str or None
        The pipeline's run in the same way, or None for a stage that was started by hand.
    outbox : Outbox or None
        Sends what is logged while the work goes on; without one each call is made at once.
    group : str
        Its experiment in the same way, which runs below it need.
    """

    run: str
    pipeline: str | None
    outbox: Outbox | None = None
    group: str = ""

    @property
    def run_id(self) -> str:
        """Id of its own run; waits until the tracking store has made it."""
        return self._identify(self.run)

    @property
    def parent_id(self) -> str | None:
        """Id of the pipeline's run, None for a stage that was started by hand; waits as ``run_id`` does."""
        return (self._identify(self.pipeline) or None) if self.pipeline else None

    @property
    def experiment(self) -> str:
        """Id of its experiment; waits as ``run_id`` does."""
        return self._identify(self.group)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings and facts that do not change during the run."""
        self._log(params={key: str(value) for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers in one call; ``step`` is the epoch where there is one."""
        self._log(step, metrics={key: float(value) for key, value in metrics.items()})

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

    def describe(self, words: str) -> None:
        """Set the description, in Markdown; its first line also stands on the pipeline's page."""
        self.set_tags({NOTE_TAG: words})

    def lead_search(self, study: str) -> None:
        """Let workers find this run by :func:`dnapair.tracking.join_search`, for trials of this search."""
        self.set_tags({STUDY_TAG: study})

    def put(self, do: str, **values: Any) -> None:
        """Have one of the outbox's calls made for this run."""
        if self.outbox is None:
            deliver({"do": do, "run": self.run, **values}, {})
        else:
            self.outbox.put(do, self.run, **values)

    def _identify(self, name: str) -> str:
        return self.outbox.identify(name) if self.outbox else name

    def _log(self, step: int = 0, **logged: Mapping[str, Any]) -> None:
        nothing: dict[str, Any] = {"params": {}, "metrics": {}, "tags": {}}
        self.put("log", **nothing | logged, step=step, time=now())


def metric_name(words: str) -> str:
    """Turn words into a part of a metric's name, which is no path: letters outside MLflow's become ``_``."""
    plain = re.sub(r"[^\w.:-]+", "_", words, flags=re.ASCII).strip("_")
    if len(plain) > _LONGEST_NAME:
        # what was cut off may be all that tells two names apart
        plain = f"{plain[:_LONGEST_NAME]}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return plain
