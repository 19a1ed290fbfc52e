"""params.yaml read and checked: unknown keys and impossible values are errors that name the key."""

import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dnapair.errors import DnapairError
from dnapair.params.sections import Params

PARAMS = Path("params.yaml")
_LARGEST_FILE = 2**20


def load_params(path: Path = PARAMS) -> Params:
    """Read and check the settings.

    Parameters
    ----------
    path
        A YAML file with every section of :class:`Params`.

    Returns
    -------
    Params
        Frozen settings.

    Raises
    ------
    DnapairError
        If the file is missing, is not YAML, or holds an unknown, missing or impossible setting;
        the message names each key.
    """
    return check_params(read_settings(path), str(path))


def read_settings(path: Path = PARAMS) -> dict[str, Any]:
    """Read the settings as they are, for those who change them.

    Raises
    ------
    DnapairError
        If the file is missing, or is no YAML with sections.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DnapairError(f"{path} has more than {_LARGEST_FILE:,} bytes: these are no settings.")
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise DnapairError(f"{path} is not here. Run dnapair in the project's top folder.") from None
    except UnicodeDecodeError as error:
        raise DnapairError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise DnapairError(f"{path} holds no settings: it must be a mapping with sections such as `data:`.")
    return content


def parse_yaml(text: str, origin: str) -> Any:
    """Read YAML of plain values: a tag that would build anything else is an error, and no code runs.

    Parameters
    ----------
    text
        The YAML.
    origin
        What to call the place it came from in a message.

    Returns
    -------
    object
        Mappings, lists, strings, numbers, true, false, dates and null.

    Raises
    ------
    DnapairError
        If it is not valid, or nested too deeply.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise DnapairError(f"{origin} is not valid YAML: it is nested too deeply.") from None
    # PyYAML lets through what Python says of values such as 0b, 2001-99-99 and an !!int that is empty
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DnapairError(f"{origin} is not valid YAML: {' '.join(str(error).split())[:500]}") from None


def check_params(content: dict[str, Any], origin: str) -> Params:
    """Check settings that were read from somewhere.

    Parameters
    ----------
    content
        Every section of :class:`Params`, as YAML gives it.
    origin
        What to call the place they came from in a message.

    Returns
    -------
    Params
        Frozen settings.

    Raises
    ------
    DnapairError
        If a setting is unknown, missing or impossible; the message names each key.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [f"  {_describe(problem)}" for problem in error.errors()]
        raise DnapairError(f"{origin}: dnapair can't use these settings:\n" + "\n".join(lines)) from None


def _describe(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{key}: there is no such setting. Remove it, or look for its right name in the README."
    if problem["type"] == "missing":
        return f"{key}: missing. Add it; the project's own params.yaml shows its usual value."
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (given: {_shortly(problem['input'])})"
    return f"{key}: {message}{given}"


def _shortly(value: Any) -> str:
    # aliases make a few lines of YAML a value of billions of parts, and Python will not print a huge number
    try:
        return reprlib.repr(value)[:200]
    except ValueError:
        return "a number with thousands of digits"


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Name every setting of a section as params.yaml's users do.

    Parameters
    ----------
    section
        A section, say ``params.train``.
    prefix
        Its key, say ``"train"``.

    Returns
    -------
    dict
        For example ``{"train.epochs": 20, ...}``; lists stay whole.
    """
    flat: dict[str, Any] = {}
    for key, value in section:
        if isinstance(value, BaseModel):
            flat |= flatten(value, f"{prefix}.{key}")
        else:
            flat[f"{prefix}.{key}"] = value
    return flat
