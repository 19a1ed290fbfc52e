"""Models of the registry, loaded to score with: MLflow brings the files while PyTorch is imported."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dnapair.errors import DnapairError
from dnapair.scoring.bundle import open_bundle
from dnapair.tracking.client import ask

if TYPE_CHECKING:
    from dnapair.scoring.scorer import PairScorer


class Loaded(NamedTuple):
    """A pair model, and what the registry knows of it.

    Attributes
    ----------
    scorer
        The one that the served model asks.
    name, version, alias : str or None
        Of the version, and the alias that it was asked for by; None for an address that names none.
    tags
        The version's.
    model_id : str or None
        By which MLflow knows it; None of a folder.
    """

    scorer: "PairScorer"
    name: str | None
    version: str | None
    alias: str | None
    tags: Mapping[str, str]
    model_id: str | None


def load_model(uri: str) -> Loaded:
    """Load a registered or logged pair model.

    Parameters
    ----------
    uri
        Any address that MLflow knows, for example ``models:/dnapair@champion``.

    Raises
    ------
    DnapairError
        If there is no such model, it is damaged, or it is not one of dnapair's.
    """
    with ThreadPoolExecutor(1) as meanwhile:
        brought = meanwhile.submit(_bring, uri)
        from dnapair.scoring.scorer import PairScorer

        facts = brought.result()
    scorer = PairScorer(Path(facts["bundle"]))
    return Loaded(scorer, **{name: facts[name] for name in Loaded._fields[1:]})


def load_scorer(uri: str) -> "PairScorer":
    """Load the scorer of a registered or logged pair model, as :func:`load_model` does."""
    return load_model(uri).scorer


def check_model(uri: str) -> None:
    """Fetch a registered or logged pair model and hash its files.

    Raises
    ------
    DnapairError
        As :func:`load_model`.
    """
    open_bundle(Path(_bring(uri)["bundle"]))


def copy_model(uri: str, folder: Path) -> None:
    """Copy the files of a registered or logged pair model, as MLflow has them, into an empty folder.

    Raises
    ------
    DnapairError
        If there is no such model, it is damaged, or it is not one of dnapair's.
    """
    facts = _bring(uri)
    open_bundle(Path(facts["bundle"]))
    # where a model is run in place, Python and Numba keep there what they compiled
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(facts["folder"], folder, dirs_exist_ok=True, ignore=compiled)


def _bring(uri: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = ask("bring model", uri=uri)
    except DnapairError:
        raise
    # whatever MLflow and what it talks through raise
    except Exception as error:
        from dnapair.registry.absence import explain_absence

        raise explain_absence(uri, error) from None
    return facts
