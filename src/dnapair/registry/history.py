"""The history of a registered model: a tag for each step, and a description with the newest of them."""

import json
import secrets
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

HISTORY_TAG = "dnapair.history."
"""Begins the name of a step's tag; each has a name of its own, so that two at once lose nothing."""
HEADING = "### History, written by dnapair"
"""In the description; what stands above it is kept."""

# what MLflow's database takes
_DESCRIPTION_LETTERS = 5000
_LINE_LETTERS = 400
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class Step(NamedTuple):
    """A line of the history.

    Attributes
    ----------
    time : datetime
        UTC.
    what : str
        ``promote``, ``refuse``, ``rollback``, ``challenger``, ``archive`` or ``restore``.
    alias : str
        That moved; empty where none did.
    before, after : str
        Versions: the one that had the alias, and the one that has it now, or that the step is about. Empty
        where there is none.
    who, why : str
        Who did it, and the reason.
    """

    time: datetime
    what: str
    alias: str
    before: str
    after: str
    who: str
    why: str

    @property
    def words(self) -> str:
        """The line: time, what, versions, who and why."""
        versions = f"{self.alias} {self.before or 'none'} → {self.after}" if self.alias else self.after
        why = f": {self.why}" if self.why else ""
        return f"{self.time:%Y-%m-%d %H:%M:%S} UTC {self.what} {versions}, by {self.who}{why}"


def write_step(step: Step) -> tuple[str, str]:
    """Return the name and the value of a step's tag."""
    content = {key: value for key, value in step._asdict().items() if key != "time"}
    name = f"{HISTORY_TAG}{step.time.strftime(_TIME)}-{secrets.token_hex(4)}"
    return name, json.dumps(content, ensure_ascii=False)


def read_history(tags: Mapping[str, str]) -> list[Step]:
    """Return the steps among the tags of a registered model, the oldest first."""
    steps = []
    for key, value in sorted(tags.items()):
        if key.startswith(HISTORY_TAG):
            moment = key.removeprefix(HISTORY_TAG).rpartition("-")[0]
            time = datetime.strptime(moment, _TIME).replace(tzinfo=UTC)
            steps.append(Step(time, **json.loads(value)))
    return steps


def line_of_champions(history: list[Step], alias: str) -> list[str]:
    """Return the champions one after the other, without those that were taken back."""
    line: list[str] = []
    for step in history:
        if step.alias != alias:
            continue
        if step.before and (not line or line[-1] != step.before):
            # moved by other means than ours, or before there was a history
            line.append(step.before)
        if step.what == "rollback":
            while line and line[-1] != step.after:
                line.pop()
        if not line or line[-1] != step.after:
            line.append(step.after)
    return line


def describe(description: str, history: list[Step]) -> str:
    """Put the newest lines below what people wrote, as many as the registry's 5,000 letters hold."""
    own = description.partition(HEADING)[0].rstrip()
    text = f"{own}\n\n{HEADING}\n" if own else f"{HEADING}\n"
    words = (textwrap.shorten(step.words, _LINE_LETTERS, placeholder=" ...") for step in reversed(history))
    lines = [f"\n- {escape(line, quote=False)}" for line in words]
    more = "\n- ... {} earlier: dnapair models history"
    room = _DESCRIPTION_LETTERS - len(text) - len(more) - 10
    shown = 0
    for line in lines:
        room -= len(line)
        if room < 0:
            break
        text += line
        shown += 1
    return text + (more.format(len(lines) - shown) if shown < len(lines) else "")
