"""params.yaml read and checked: unknown keys and impossible values are errors that name the key."""

import re
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dnapair.errors import DnapairError, similar
from dnapair.params.sections import Params

PARAMS = Path("params.yaml")
_LARGEST_FILE = 2**20
_HINTS = {
    r"found character '\\t'": "Indent with spaces: YAML takes no tabs there.",
    "unknown escape character": r"In double quotes, \ begins an escape: use single quotes, or none.",
    "(expected|found) alphabetic|found character '[@`%]'": "Put the value into quotes.",
    "mapping values are not allowed": (
        "Put a value with a colon in it into quotes; indent all settings of a section alike."
    ),
}
"""What helps where YAML's words name no cause."""


class _PlainLoader(yaml.SafeLoader):
    """YAML 1.2's plain values, as DVC reads them: on, yes, 012, 1_000, 12:30 and 2001-01-01 are words.

    A setting that wants true or false takes on and off, one that wants a number takes 012, all the same.
    """


_PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] in ("null", "float", "merge")]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _firsts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
):
    _PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_firsts)
    )


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


def find_params(path: Path = PARAMS) -> Params | None:
    """Read and check the settings of this folder, if it has any.

    Returns
    -------
    Params or None
        None where there is no params.yaml, or that of another tool: it has no section `register`.

    Raises
    ------
    DnapairError
        As :func:`load_params`.
    """
    content = read_settings(path) if path.is_file() else {}
    return check_params(content, str(path)) if "register" in content else None


def champion_address() -> str:
    """Return MLflow's address of the champion, by the settings of this folder or the default ones.

    Raises
    ------
    DnapairError
        As :func:`load_params`.
    """
    params = find_params()
    name, alias = (params.registration.name, params.registration.alias) if params else ("dnapair", "champion")
    return f"models:/{name}@{alias}"


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
        Mappings, lists, strings, numbers, true, false and null.

    Raises
    ------
    DnapairError
        If it is not valid, or nested too deeply.
    """
    try:
        return yaml.load(text, _PlainLoader)  # noqa: S506 - it is a safe one
    except RecursionError:
        raise DnapairError(f"{origin} is not valid YAML: it is nested too deeply.") from None
    # PyYAML lets through what Python says of values such as 0b, 2001-99-99 and an !!int that is empty
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}," if mark else ""
        words = " ".join(str(getattr(error, "problem", None) or error).split())[:500].rstrip(".")
        hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, words)), "")
        raise DnapairError(f"{origin}{where} is not valid YAML: {words}. {hint}".rstrip()) from None


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
        # a setting of several kinds has a problem for each of them
        found: dict[str, list[Any]] = {}
        for problem in error.errors():
            found.setdefault(_key(problem), []).append(problem)
        lines = [f"  {_describe(key, problems)}" for key, problems in found.items()]
        raise DnapairError(f"{origin}: dnapair can't use these settings:\n" + "\n".join(lines)) from None


def setting_names(section: type[BaseModel] = Params, start: str = "") -> Iterator[str]:
    """Yield the names of all sections and settings, such as ``train`` and ``train.epochs``."""
    for name, field in section.model_fields.items():
        key = start + (field.alias or name)
        yield key
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_names(field.annotation, f"{key}.")


def _key(problem: Any) -> str:
    """Return the setting's name and the places in its lists, without what pydantic calls its kinds."""
    place = [str(part) for part in problem["loc"]]
    if problem["type"] in ("extra_forbidden", "missing"):
        return ".".join(place)
    names = set(setting_names())
    depth = max((end for end in range(len(place) + 1) if ".".join(place[:end]) in names), default=len(place))
    return ".".join([*place[:depth], *(part for part in place[depth:] if part.isdecimal())])


def _describe(key: str, problems: Sequence[Any]) -> str:
    problem, *others = problems
    if problem["type"] == "extra_forbidden":
        meant = similar(key, setting_names()) or " Remove it, or look for its right name in the README."
        return f"{key}: there is no such setting.{meant}"
    if problem["type"] == "missing":
        return f"{key}: missing. Add it; the project's own params.yaml shows its usual value."
    message = problem["msg"].removeprefix("Value error, ")
    for other in others:
        message += f", or {other['msg'].removeprefix('Value error, ').removeprefix('Input should be ')}"
    if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float):
        message += ": put it into quotes"
    if problem["type"] == "string_type" and isinstance(problem["input"], list):
        message += ": one, without brackets"
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
