"""A run that is open, and what can be logged to it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dnapair.tracking.outbox import Outbox, deliver, now
from dnapair.tracking.tags import NOTE_TAG, STUDY_TAG

_LONGEST_NAME = 200


class Split(NamedTuple):
    """The pairs of a split, which metrics are of.

    Attributes
    ----------
    name : str
        ``train``, ``val`` or ``test``.
    digest : str
        Tells these pairs from all others, in 36 letters at most.
    pairs, related : int
        Their number, and how many have label 1.
    """

    name: str
    digest: str
    pairs: int
    related: int

    @classmethod
    def of(cls, name: str, dataset: Mapping[str, Any]) -> "Split":
        """Take a split of the pairs that reports/dataset.json describes."""
        content = "".join(sha for _, sha in sorted(dataset["files"].items())) + name
        counts = dataset["splits"][name]
        return cls(name, hashlib.sha256(content.encode()).hexdigest()[:8], counts["pairs"], counts["related"])


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

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int = 0,
        split: Split | None = None,
        model: str | None = None,
    ) -> None:
        """Log numbers in one call.

        Parameters
        ----------
        metrics
            By their names.
        step
            The epoch, where there is one.
        split
            The pairs they were measured on.
        model
            SHA-256 that the run is tagged with that logged the model they are of, or the model's id.
        """
        numbers = {key: float(value) for key, value in metrics.items()}
        self._log(step, metrics=numbers, split=split and split._asdict(), model=model)

    def log_split(self, split: Split) -> None:
        """Log a split of the pairs as an input."""
        self.put("split", split=split._asdict())

    def log_parent_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log numbers on the pipeline's run too, where whole pipelines are compared."""
        if self.parent_id:
            StageRun(self.parent_id, None, self.outbox).log_metrics(metrics)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder, as artifacts; it must stay until the run's end."""
        self.put("files", path=str(path), folder=folder)

    def log_model(self, name: str, save: Callable[[Path], None], val: Split) -> None:
        """Log a model in MLflow's own form, with the run's metrics; those named ``val_...`` are of ``val``.

        Parameters
        ----------
        name
            Of the model.
        save
            Writes it to the path that it is given.
        val
            The validation pairs.
        """
        if self.outbox is None:
            raise RuntimeError("a model is logged to the run of a stage")
        folder = self.outbox.scratch() / name
        save(folder)
        self.put("model", path=str(folder), name=name, val=val._asdict())

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

    def _log(self, step: int = 0, **logged: Any) -> None:
        nothing: dict[str, Any] = {"params": {}, "metrics": {}, "tags": {}}
        self.put("log", **nothing | logged, step=step, time=now())


def metric_name(words: str) -> str:
    """Turn words into a part of a metric's name, which is no path: letters outside MLflow's become ``_``."""
    plain = re.sub(r"[^\w.:-]+", "_", words, flags=re.ASCII).strip("_")
    if len(plain) > _LONGEST_NAME:
        # what was cut off may be all that tells two names apart
        plain = f"{plain[:_LONGEST_NAME]}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return plain
