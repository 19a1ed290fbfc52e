"""The raw data as a data set of MLflow's."""

import warnings
from pathlib import Path

import mlflow
import yaml
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from dnapair.errors import DnapairError
from dnapair.tracking.store import make_row


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
        context = InputTag(MLFLOW_DATASET_CONTEXT, "pipeline")
        inputs = [DatasetInput(dataset._to_mlflow_entity(), [context])]
        make_row(lambda: mlflow.MlflowClient().log_inputs(run, inputs))
