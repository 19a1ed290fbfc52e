"""The report of an evaluation: one HTML page that needs no script and no network, and a card in Markdown."""

import base64
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, select_autoescape
from markupsafe import Markup

from dnapair.evaluation.metrics import METRICS, spread
from dnapair.evaluation.outcome import COMPARED, Outcome
from dnapair.evaluation.verdict import NAMES, Verdict, spell, spell_gain
from dnapair.reporting.escaping import markdown
from dnapair.reporting.templates import LOADER

FIGURES = {
    "roc": "ROC curve",
    "pr": "Precision and recall",
    "calibration": "Reliability of the probabilities",
    "probabilities": "Probabilities of both classes",
    "confusion": "Confusion matrix",
    "map": "Map of the test pairs",
    "history": "Training",
}
CARD_LIMIT = 4500
"""Characters: registries on a database server keep 5,000 of a version's description."""


class Subject(NamedTuple):
    """What a report is about.

    Attributes
    ----------
    title
        Framework and encoder.
    framework, other
        ``PyTorch`` and ``TensorFlow``, in the order of this report.
    pairs, related
        Test pairs, and those that are related.
    inputs
        What the network takes, in words.
    threshold, temperature
        Of the network.
    units
        What the bootstrap drew, in words.
    draws
        How often.
    dataset, findings, tokens, folds
        The contents of reports/dataset.json, of ``findings`` in reports/audit.json, of reports/tokens.json
        and of reports/folds.json.
    settings
        By section of params.yaml.
    hashes
        SHA-256 by what it is of.
    finetuning
        The content of reports/finetuning.json.
    """

    title: str
    framework: str
    other: str
    pairs: int
    related: int
    inputs: str
    threshold: float
    temperature: float
    units: str
    draws: int
    dataset: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]
    tokens: Mapping[str, Mapping[str, Any]]
    folds: Mapping[str, Any]
    settings: Mapping[str, Any]
    hashes: Mapping[str, str]
    finetuning: Mapping[str, Any] = MappingProxyType({"tries": ()})


def render_page(subject: Subject, outcome: Outcome, verdict: Verdict, figures: Path) -> str:
    """Render the page.

    Parameters
    ----------
    subject, outcome, verdict
        What it says.
    figures
        Folder with a PNG for each name in :data:`FIGURES`; they become part of the page.

    Returns
    -------
    str
        HTML; text from the data is escaped.
    """
    return ENVIRONMENT.get_template("report.html.j2").render(
        subject=subject,
        outcome=outcome,
        verdict=verdict,
        names=NAMES,
        metrics=METRICS,
        compared=COMPARED,
        bar=_bar,
        chance={"roc_auc": 0.5, "pr_auc": subject.related / subject.pairs},
        seeds=spread(outcome.seeds),
        settings=yaml.safe_dump(dict(subject.settings), sort_keys=False, allow_unicode=True, width=100),
        figures=[
            (words, base64.b64encode((figures / f"{name}.png").read_bytes()).decode())
            for name, words in FIGURES.items()
        ],
    )


def write_card(subject: Subject, outcome: Outcome, verdict: Verdict) -> str:
    """Write the same as a model card in Markdown, of at most :data:`CARD_LIMIT` characters."""
    written = ENVIRONMENT.get_template("card.md.j2").render(
        subject=subject,
        outcome=outcome,
        verdict=verdict,
        names=NAMES,
        metrics=METRICS,
        compared=outcome.baselines | {f"the same network in {subject.other}": outcome.other},
    )
    card = ""
    for line in written.rstrip("\n").split("\n"):
        if len(card) + len(line) > CARD_LIMIT:
            return card + "\nThe rest stands in report.html.\n"
        card += line + "\n"
    return card


def _number(value: float) -> str:
    return "\u2013" if math.isnan(value) else f"{value:.3f}"


def _bar(
    value: float, ends: tuple[float, float], low: float, high: float, mark: float | None = None
) -> Markup:
    """Draw an interval as a line with a dot on the range from ``low`` to ``high``, with a mark across."""

    def place(x: float) -> float:
        return round(4 + 132 * min(max((x - low) / (high - low), 0), 1), 1)

    if not all(map(math.isfinite, (value, *ends))):
        return Markup("")
    line = Markup('<line class="mark" x1="{x}" x2="{x}" y1="0" y2="14"/>')
    across = "" if mark is None else line.format(x=place(mark))
    return Markup(
        '<svg class="bar" viewBox="0 0 140 14" aria-hidden="true">{across}'
        '<line x1="{a}" x2="{b}" y1="7" y2="7"/><circle cx="{v}" cy="7" r="3"/></svg>'
    ).format(across=across, a=place(ends[0]), b=place(ends[1]), v=place(value))


ENVIRONMENT = Environment(
    loader=LOADER, autoescape=select_autoescape(["html.j2"]), trim_blocks=True, lstrip_blocks=True
)
ENVIRONMENT.filters |= {
    "number": _number,
    "spell": spell,
    "gain": spell_gain,
    "markdown": markdown,
    "text": partial(markdown, longest=CARD_LIMIT),
}
