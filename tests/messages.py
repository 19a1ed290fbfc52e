"""The messages of dnapair that give a remedy, a command or a setting, as its code has them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
_SETTINGS = yaml.safe_load((ROOT / "params.yaml").read_text())
KEY = rf"\b(?:{'|'.join(_SETTINGS)})\.[a-z_0-9]+(?:\.[a-z_0-9]+)*\b"
SET = re.compile(rf"[Ss]et ({KEY})(?:: | to )([A-Za-z_0-9]+)(?: (?:\([^)]*\) )?or (?:to )?([a-z]+))?")
COMMAND = re.compile(
    r"(?:^|[`(\n]|: |, |[Rr]un |\bor |&& )"
    r"((?:(?:dnapair|dvc|git|mlflow|mv|rm|cp|touch) "
    r"(?!(?:in|can't|is|keeps|runs)\b|serve:|repro (?:takes|runs)\b)[a-z-]+|"
    r"ray start|pip install|make server)[^`),;]*)"
)
"""Words where a command may stand; what follows up to its end."""

_PROSE = {"a", "the", "their", "what"}


class Message(NamedTuple):
    """A string of the code, {} where it has a value."""

    place: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Return what it says to type; words may follow."""
        return COMMAND.findall(self.text)

    @property
    def settings(self) -> list[tuple[str, str]]:
        """Return what it says to set: keys and values."""
        return [
            (key, value)
            for key, *values in SET.findall(self.text.replace(".)", ")"))
            for value in values
            if value and value not in _PROSE
        ]


def collect() -> list[Message]:
    """Return every message that has a command or a setting to set."""
    found = [
        Message(f"{path.relative_to(ROOT)}:{line}", text)
        for path in sorted((ROOT / "src/dnapair").rglob("*.py"))
        for line, text in _strings(ast.parse(path.read_text()))
    ]
    return [message for message in found if message.commands or message.settings]


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings that are no docstrings, each whole, by their lines."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        else:
            yield from _strings(node)
