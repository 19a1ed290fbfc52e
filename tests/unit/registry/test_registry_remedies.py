"""What messages of the registry say is done, as they write it, and mends what they complain of."""

import re
import shlex
import sys
from collections.abc import Callable

import pytest

from dnapair import cli
from dnapair.errors import DnapairError
from dnapair.registry.lifecycle import Lifecycle
from tests.unit.registry.test_lifecycle import aliases, life, says, template

__all__ = ["life", "template"]

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")


def kept_back(version: str) -> Callable[[Lifecycle], object]:
    def ask(life: Lifecycle) -> None:
        why = life.kept_back(version)
        if why:
            raise DnapairError(why)

    return ask


def refused(life: Lifecycle) -> None:
    life.decide("2", says(False, "the audit fails"))


def taken_back(life: Lifecycle) -> None:
    life.promote("1", "")
    life.promote("2", "")
    life.roll_back("slow")


REMEDIES: dict[str, tuple[Callable[[Lifecycle], object], Callable[[Lifecycle], object]]] = {
    "The gate refused version": (
        refused,
        lambda life: "2" in aliases().values() or life.promote("2", ""),
    ),
    "to take back: dnapair models promote": (
        lambda life: None,
        lambda life: life.champion_now() or life.roll_back(""),
    ),
    "Choose one by hand: dnapair models promote": (
        lambda life: life.promote("1", ""),
        lambda life: life.champion_now() == "2" or life.roll_back(""),
    ),
    "so it can't be archived": (
        lambda life: (life.promote("1", ""), life.promote("2", "")),
        lambda life: life.archive("2", ""),
    ),
    "is archived. Take it out again first": (
        lambda life: life.archive("2", ""),
        lambda life: life.promote("2", ""),
    ),
    "it is archived (dnapair models restore": (lambda life: life.archive("2", ""), kept_back("2")),
    "it was champion and was taken back": (taken_back, kept_back("2")),
}
"""By the words of the message: what brings it about, and what ends with it."""


@pytest.mark.parametrize("words", REMEDIES)
def test_what_a_message_says_is_done(life: Lifecycle, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, do = REMEDIES[words]
    make(life)
    with pytest.raises(DnapairError) as raised:
        do(life)
    said = str(raised.value)
    assert words in said
    (command,) = re.findall(r"dnapair (models [^)]*?)(?:\)| makes one\.)?$", said)
    monkeypatch.setattr(sys, "argv", ["dnapair", *shlex.split(command.replace("VERSION", "2"))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    do(life)
