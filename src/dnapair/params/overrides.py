"""Settings given on the command line, as `--section.key value`, and how they get into params.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.nodes import ScalarNode

from dnapair.errors import DnapairError, similar
from dnapair.params.reading import PARAMS, check_params, parse_yaml, read_settings, setting_names
from dnapair.storage.files import atomic_file


def parse_words(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Tell words from settings, which come as ``--section.key value`` or ``--section.key=value``.

    Raises
    ------
    DnapairError
        If a setting has no value.
    """
    words: list[str] = []
    overrides: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("--"):
            words.append(word)
            continue
        key, separator, value = word[2:].partition("=")
        if not separator:
            following = next(rest, None)
            if following is None:
                raise DnapairError(f"{word} needs a value, for example: --train.epochs 3")
            value = following
        overrides[key] = value
    return words, overrides


def changed_settings(overrides: Mapping[str, str]) -> dict[str, Any]:
    """Return what params.yaml would hold with these settings.

    Raises
    ------
    DnapairError
        If params.yaml can't be read, or a setting is unknown or impossible.
    """
    settings = read_settings()
    if overrides:
        _change(settings, overrides)
        check_params(settings, "The settings given")
    return settings


def write_settings(overrides: Mapping[str, str]) -> None:
    """Change settings in params.yaml; all else in it stays as it is, comments and order too."""
    if not overrides:
        return
    yaml = YAML()
    yaml.width = 1000
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)
    content = yaml.load(PARAMS.read_text(encoding="utf-8"))
    _change(content, overrides)
    with atomic_file(PARAMS) as temporary, temporary.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _null(representer: Any, _: None) -> ScalarNode:
    # its own way is to write nothing
    node: ScalarNode = representer.represent_scalar("tag:yaml.org,2002:null", "null")
    return node


def _change(content: dict[str, Any], overrides: Mapping[str, str]) -> None:
    for key, value in overrides.items():
        section: Any = content
        *path, last = key.split(".")
        for name in path:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise DnapairError(f"--{key}: params.yaml has no such setting.{similar(key, setting_names())}")
        section[last] = _styled(section, last, parse_yaml(value, f"--{key}"))


def _styled(section: Any, name: str, new: Any) -> Any:
    """Write a list as the one before was written, with the comment that stands behind it."""
    old = section[name]
    if not isinstance(old, CommentedSeq) or not isinstance(new, list):
        return new
    # of [] it is not known
    if new and old.fa.flow_style() is False:
        return new
    styled = CommentedSeq(new)
    styled.fa.set_flow_style()
    if old.ca.comment:
        # a list in lines has its comment before them, which in brackets would take the place of a line's end
        styled.ca.comment = [old.ca.comment[0], None]
        section.ca.items[name][3] = None
    return styled
