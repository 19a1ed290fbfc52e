"""The registry: versions of the pair model, and which of them is champion."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

import dnapair
from dnapair.data.pair_columns import USUAL_PAIR, PairColumns, request_pairs
from dnapair.errors import DnapairError
from dnapair.registry.version_tags import BUNDLE_TAG, REGISTRATION_TAG

_SERVED_PACKAGES = (
    "huggingface-hub",
    "mlflow",
    "numba",
    "numpy",
    "openvino",
    "pandas",
    "psutil",
    "pyarrow",
    "pydantic",
    "safetensors",
    "torch",
    "tqdm",
)


class Registered(NamedTuple):
    """A version in the registry.

    Attributes
    ----------
    name, version : str
        Of the registered model, and of this one.
    model_id : str or None
        By which MLflow knows the model that the version is of.
    """

    name: str
    version: str
    model_id: str | None

    @property
    def uri(self) -> str:
        """The address MLflow knows it by."""
        return f"models:/{self.name}/{self.version}"


def log_pair_model(
    name: str,
    bundle: Path,
    identity: str,
    example: pd.DataFrame,
    tags: Mapping[str, str],
    description: str,
    run: str | None = None,
) -> Registered:
    """Log the pyfunc model to a run and register it, unless this very model is registered, and whole.

    A version that is there already gets the tags and the description anew: they are of the run that
    registered this very model last.

    Parameters
    ----------
    name
        Registered model.
    bundle
        Folder by :func:`dnapair.scoring.bundle.write_bundle`.
    identity
        Its SHA-256.
    example
        Pairs of raw DNA.
    tags
        For the version.
    description
        For the version, in Markdown.
    run
        The run's id; None for the active run.

    Returns
    -------
    Registered
        The new or the known version.
    """
    # one whose files were lost or damaged is logged anew
    known = next(filter(_is_whole, _find(name, BUNDLE_TAG, identity)), None)
    if known is not None:
        _describe(name, known.version, tags, description)
        return Registered(name, str(known.version), known.model_id)
    # it brings the encoder's engine
    from dnapair.scoring.bundle import open_bundle

    settings = open_bundle(bundle)
    package = Path(dnapair.__file__).parent
    if run:
        # where MLflow looks for the model's
        mlflow.set_experiment(experiment_id=mlflow.MlflowClient().get_run(run).info.experiment_id)
    # not pyfunc's own log_model, which knows no run but the active one
    info = Model.log(
        artifact_path=None,
        name="dnapair",
        flavor=mlflow.pyfunc,
        flavor_name=mlflow.pyfunc.FLAVOR_NAME,
        run_id=run,
        python_model=str(package / "scoring" / "pyfunc.py"),
        artifacts={"bundle": str(bundle)},
        code_paths=[str(package)],
        signature=signature(settings.columns, settings.threshold),
        input_example=example,
        pip_requirements=[f"{required}=={version(required).split('+')[0]}" for required in _SERVED_PACKAGES],
        registered_model_name=name,
    )
    _describe(name, info.registered_model_version, {**tags, BUNDLE_TAG: identity}, description)
    return Registered(name, str(info.registered_model_version), info.model_id)


def signature(columns: Sequence[PairColumns], threshold: float) -> ModelSignature:
    """Make MLflow's signature of a model.

    Parameters
    ----------
    columns
        What it was trained with. Columns of sequences that are not called ``seq1`` and ``seq2`` may be given
        in place of these: MLflow has no other word for it than that none is required.
    threshold
        Its own, in place of which another may be given.
    """
    names = dict.fromkeys(name for pair in (USUAL_PAIR, *request_pairs(columns)) for name in pair)
    required = len(names) == len(USUAL_PAIR)
    return ModelSignature(
        inputs=Schema([ColSpec("string", name, required=required) for name in names]),
        outputs=Schema([ColSpec("float", "probability"), ColSpec("long", "label")]),
        params=ParamSchema([ParamSpec("threshold", "double", threshold)]),
    )


def is_registered(name: str, registration_sha256: str) -> bool:
    """Say whether the tracking store in use has the model of a registration.json, given by its SHA-256."""
    return bool(_find(name, REGISTRATION_TAG, registration_sha256))


def _find(name: str, tag: str, value: str) -> Sequence[ModelVersion]:
    tagged = f"name = '{name}' and tags.`{tag}` = '{value}'"
    return list(mlflow.MlflowClient().search_model_versions(tagged))


def _is_whole(version: ModelVersion) -> bool:
    # it brings the encoder's engine
    from dnapair.registry.loading import check_model

    try:
        check_model(f"models:/{version.name}/{version.version}")
    except DnapairError:
        return False
    return True


def _describe(name: str, version_number: object, tags: Mapping[str, str], description: str) -> None:
    client = mlflow.MlflowClient()
    client.update_model_version(name, str(version_number), description)
    for key, value in tags.items():
        client.set_model_version_tag(name, str(version_number), key, value)
