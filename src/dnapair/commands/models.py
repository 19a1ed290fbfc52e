"""`dnapair models`: the versions in the registry, and what becomes of them.

Imports stay inside, so that `dnapair --help` answers at once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dnapair.registry.history import Step
    from dnapair.registry.lifecycle import Lifecycle

_HASH_LETTERS = 8
_LOOK: dict[str, Any] = {"box": None, "header_style": "bold", "pad_edge": False}

Version = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
Reason = Annotated[str, typer.Option(help="Why; it stays in the history.")]

app = typer.Typer(no_args_is_help=False)


@app.callback(invoke_without_command=True)
def list_versions(context: typer.Context) -> None:
    """List the registered versions; promote, take back or archive one."""
    if context.invoked_subcommand is None:
        show()


def show() -> None:
    """Print every version with its aliases, metrics and data, and what the gate said of it."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from dnapair.registry.lifecycle import ARCHIVED_TAG, ROLLED_BACK_TAG
    from dnapair.registry.version_tags import DATA_TAG, FRAMEWORK_TAG, TEST_TAGS, VALIDATION_TAG

    put_away = {ARCHIVED_TAG: "archived", ROLLED_BACK_TAG: "taken back"}
    life = _open()
    console = Console(highlight=False)
    versions = life.versions()
    figures = [Column(name, justify="right") for name in ("PR-AUC\nval", "PR-AUC\ntest", "ROC-AUC\ntest")]
    numbers = Table("version", "alias", "network", *figures, "data", "created", **_LOOK)
    reasons = Table("version", "what the gate said", **_LOOK)
    for version in versions:
        tags = version.tags
        values = (tags.get(tag) for tag in (VALIDATION_TAG, *reversed(TEST_TAGS.values())))
        marks = [*version.aliases, *(words for tag, words in put_away.items() if tag in tags)]
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


@app.command()
def history() -> None:
    """Print who did what to which version, the newest first."""
    for step in reversed(_open().history()):
        print(step.words)


@app.command()
def promote(
    version: Version,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Although the gate refused it; with --reason.")
    ] = False,
) -> None:
    """Make a version champion."""
    _do(lambda life: life.promote(str(version), reason, force=force))


@app.command()
def rollback(reason: Reason = "") -> None:
    """Make the version champion again that was it before."""
    _do(lambda life: life.roll_back(reason))


@app.command()
def challenger(version: Version, reason: Reason = "") -> None:
    """Give a version the second alias, to be served beside the champion."""
    _do(lambda life: life.challenge(str(version), reason))


@app.command()
def archive(version: Version, reason: Reason = "") -> None:
    """Put a version away, so that it can't be promoted."""
    _do(lambda life: life.archive(str(version), reason))


@app.command()
def restore(version: Version, reason: Reason = "") -> None:
    """Take a version out of the archive."""
    _do(lambda life: life.restore(str(version), reason))


def _do(action: "Callable[[Lifecycle], Step]") -> None:
    life = _open()
    print(f"{life.name}: {action(life).words}")


def _open() -> "Lifecycle":
    from dnapair import tracking
    from dnapair.params import load_params
    from dnapair.registry.lifecycle import Lifecycle

    settings = load_params().registration
    tracking.check_store()
    return Lifecycle(settings.name, settings.alias, settings.challenger)
