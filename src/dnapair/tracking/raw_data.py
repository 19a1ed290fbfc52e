"""The raw data as a data set of MLflow's, and each split of their pairs as one."""

import json
import warnings
from pathlib import Path

import mlflow
import yaml
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Dataset as Entity
from mlflow.entities import DatasetInput, InputTag
from mlflow.types import ColSpec, Schema
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from dnapair.errors import DnapairError
from dnapair.tracking.open_run import Split
from dnapair.tracking.store import make_row

_CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}
_PAIR = Schema([ColSpec("string", "seq1"), ColSpec("string", "seq2"), ColSpec("long", "label")])


def describe_data(pointer: Path = Path("data.dvc")) -> Dataset | None:
    """Name the raw data by the first letters of the hash that DVC gives it; None where DVC has none.

    Raises
    ------
    DnapairError
        If the pointer is not what DVC writes.
    """
    if not pointer.is_file():
        return None
    try:
        content = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        out = content["outs"][0]
        origin = next((str(dep["path"]) for dep in content.get("deps", [])), str(out["path"]))
        digest = str(out["md5"])[:8]
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DnapairError(
            f"{pointer} is not what DVC writes. Put back what git has: git checkout {pointer}"
        ) from None
    with warnings.catch_warnings():
        # MLflow warns that two of its own classes fit a local path
        warnings.simplefilter("ignore", UserWarning)
        source = resolve_dataset_source(origin)
    return MetaDataset(source, name=Path(origin).name, digest=digest)  # type: ignore[abstract]  # it has a default at run time


def log_dataset(run: str, dataset: Dataset | None) -> None:
    """Log what :func:`describe_data` returned as a run's input."""
    if dataset is not None:
        _log(run, dataset._to_mlflow_entity(), "pipeline")


def log_split(run: str, split: Split) -> None:
    """Log a split of the pairs as a run's input, as a model takes them."""
    raw = describe_data()
    source = raw._to_mlflow_entity() if raw else Entity("data", "", "local", json.dumps({"uri": "data"}))
    shown = Entity(
        name=dataset_name(split, raw),
        digest=split.digest,
        source_type=source.source_type,
        source=source.source,
        schema=json.dumps({"mlflow_colspec": _PAIR.to_dict()}),
        profile=json.dumps({"num_rows": split.pairs, "num_related": split.related}),
    )
    _log(run, shown, _CONTEXTS[split.name])


def dataset_name(split: Split, raw: Dataset | None) -> str:
    """Return what a split is called among MLflow's data sets."""
    return f"{raw.name if raw else 'data'} {split.name}"


def _log(run: str, dataset: Entity, context: str) -> None:
    inputs = [DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)])]
    make_row(lambda: mlflow.MlflowClient().log_inputs(run, inputs))
