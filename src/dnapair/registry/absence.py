"""Why a model can't be had from the registry, and what to do about it."""

import shlex
import textwrap
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.registry.lifecycle import ARCHIVED_TAG, ROLLED_BACK_TAG, Lifecycle
from dnapair.tracking.model_files import parse_address

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_CALLED = (
    "A registered one is called models:/NAME/VERSION or models:/NAME@ALIAS: `dnapair models` lists them."
)
_SHOWN = 5
_WORD_LETTERS = 500


def explain_absence(uri: str, error: Exception) -> DnapairError:
    """Make the error for a model that could not be loaded.

    Parameters
    ----------
    uri
        Any address that MLflow knows.
    error
        What it said.

    Returns
    -------
    DnapairError
        It says which versions there are, why none of them has the alias, and how to go on.
    """
    if ":" not in uri and not Path(uri, "MLmodel").is_file():
        return DnapairError(
            f"There is no model in the folder {uri}. Where the registry is, one is made by "
            f"`dnapair export --format model --output FOLDER`. {_CALLED}"
        )
    store = tracking.store_address()
    said = f"The model {uri} can't be had from {store}: {tracking.reason(error)}"
    address = parse_address(uri)
    if address is None:
        return DnapairError(f"{said} {_CALLED} `dnapair run` makes and registers one.")
    # else the store would be waited for once more
    if getattr(error, "error_code", None) not in _NOT_THERE:
        return DnapairError(said)
    name, alias, number = address
    try:
        versions = Lifecycle(name, alias or "", "").versions()
    except DnapairError as reason:
        return DnapairError(f"The model {uri} can't be had. {reason}")
    numbers = [str(version.version) for version in versions]
    if not versions:
        return DnapairError(f"The model {uri} can't be had: {name} has no versions. `dnapair run` makes one.")
    if alias is None and number not in numbers:
        return DnapairError(f"{name} in {store} has no version {number}. There are: {', '.join(numbers)}.")
    if alias is None or any(alias in version.aliases for version in versions):
        return DnapairError(said)
    return DnapairError(_no_holder(uri, name, alias, store, versions))


def _no_holder(uri: str, name: str, alias: str, store: str, versions: list[ModelVersion]) -> str:
    """Say why no version has an alias; the newest comes first."""
    lines = [
        f"  version {version.version}{_holds(version)}: {_verdict(version, alias)}"
        for version in versions[:_SHOWN]
    ]
    if len(versions) > _SHOWN:
        lines.append(f"  ... and {len(versions) - _SHOWN} more")
    usable = [version for version in versions if ARCHIVED_TAG not in version.tags]
    chosen = (usable or versions)[0]
    number = str(chosen.version)
    promote = f"dnapair models promote {number}"
    if chosen.tags.get(f"dnapair.{alias}", "").startswith("no:"):
        promote += ' --force --reason "..."'
    if not usable:
        promote = f"dnapair models restore {number} && {promote}"
    address = shlex.quote(f"models:/{name}/{number}")
    return "\n".join(
        [
            f"The model {uri} can't be had: no version of {name} in {store} is {alias}.",
            *lines,
            f"Use one as it is: --model {address}",
            f"Or make one {alias}, in the project's folder, whose params.yaml has register.name: {name} and "
            f"register.alias: {alias}:",
            f"  {promote}",
        ]
    )


def _holds(version: ModelVersion) -> str:
    return f" ({', '.join(f'@{alias}' for alias in version.aliases)})" if version.aliases else ""


def _verdict(version: ModelVersion, alias: str) -> str:
    """Say what keeps an alias from a version."""
    tags = version.tags
    word, _, why = tags.get(f"dnapair.{alias}", "").partition(": ")
    if ARCHIVED_TAG in tags:
        words = f"archived: {tags[ARCHIVED_TAG]}"
    elif ROLLED_BACK_TAG in tags:
        words = f"taken back: {tags[ROLLED_BACK_TAG]}"
    elif word == "no":
        words = f"the gate refused it: {why}"
    elif word == "yes":
        words = f"the gate let it through ({why}), and the alias was taken from it"
    else:
        words = f"the gate was not asked whether it becomes {alias}"
    return textwrap.shorten(words, _WORD_LETTERS, placeholder=" ...")
