"""`dnapair models`: the versions in the registry, and what becomes of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from dnapair import tracking
from dnapair.params import load_params
from dnapair.registry.history import Step
from dnapair.registry.lifecycle import ARCHIVED_TAG, ROLLED_BACK_TAG, Lifecycle
from dnapair.registry.versions import DATA_TAG, FRAMEWORK_TAG, TEST_TAGS, VALIDATION_TAG

_HASH_LETTERS = 8
_LOOK: dict[str, Any] = {"box": None, "header_style": "bold", "pad_edge": False}
_PUT_AWAY = {ARCHIVED_TAG: "archived", ROLLED_BACK_TAG: "taken back"}


def show() -> None:
    """Print every version with its aliases, metrics and data, and what the gate said of it."""
    life = _open()
    console = Console(highlight=False)
    versions = life.versions()
    figures = [Column(name, justify="right") for name in ("PR-AUC\nval", "PR-AUC\ntest", "ROC-AUC\ntest")]
    numbers = Table("version", "alias", "network", *figures, "data", "created", **_LOOK)
    reasons = Table("version", "what the gate said", **_LOOK)
    for version in versions:
        tags = version.tags
        values = (tags.get(tag) for tag in (VALIDATION_TAG, *reversed(TEST_TAGS.values())))
        marks = [*version.aliases, *(words for tag, words in _PUT_AWAY.items() if tag in tags)]
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        cells = (
            str(version.version),
            ", ".join(marks) or "-",
            tags.get(FRAMEWORK_TAG, "-"),
            *(f"{float(value):.3f}" if value else "-" for value in values),
            tags.get(DATA_TAG, "-")[:_HASH_LETTERS],
            f"{created:%Y-%m-%d}",
        )
        # text of a registry is no markup
        numbers.add_row(*map(Text, cells))
        reasons.add_row(str(version.version), Text(tags.get(f"dnapair.{life.champion}", "-")))
    console.print(Text(f"{life.name}: {len(versions)} version(s)"))
    console.print(numbers)
    console.print()
    console.print(reasons)


def history() -> None:
    """Print every step of the registered model, the newest first."""
    life = _open()
    for step in reversed(life.history()):
        print(step.words)


def promote(version: int, reason: str, force: bool) -> None:
    """Make a version champion."""
    _do(lambda life: life.promote(str(version), reason, force=force))


def roll_back(reason: str) -> None:
    """Make the version before champion again."""
    _do(lambda life: life.roll_back(reason))


def challenge(version: int, reason: str) -> None:
    """Make a version challenger."""
    _do(lambda life: life.challenge(str(version), reason))


def archive(version: int, reason: str) -> None:
    """Put a version away."""
    _do(lambda life: life.archive(str(version), reason))


def restore(version: int, reason: str) -> None:
    """Take a version out of the archive."""
    _do(lambda life: life.restore(str(version), reason))


def _do(action: Callable[[Lifecycle], Step]) -> None:
    life = _open()
    print(f"{life.name}: {action(life).words}")


def _open() -> Lifecycle:
    settings = load_params().registration
    tracking.check_store()
    return Lifecycle(settings.name, settings.alias, settings.challenger)
