"""Names from hostile data are text, and nothing else, on every page, in every card, table and figure."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dnapair.checks.dimensions import RULES, summarize
from dnapair.checks.expectations import Values, check
from dnapair.checks.facts import disjoint_fact
from dnapair.checks.findings import Finding
from dnapair.errors import printable
from dnapair.evaluation.outcome import Network, Prediction, measure
from dnapair.evaluation.resampling import find_units
from dnapair.evaluation.slices import slices_of_column
from dnapair.evaluation.verdict import judge
from dnapair.reporting import figures
from dnapair.reporting.escaping import cell, markdown
from dnapair.reporting.page import FIGURES, Subject, render_page, write_card
from dnapair.reporting.report_folder import write_csv

HOSTILE = (
    "<script>document.title='run'</script>",
    "</script><img src=x onerror=document.title='run'>",
    "<svg/onload=document.title='run'>",
    "\"onmouseover='document.title=1'x=\"",
    "{{ 7 * 7 }}{% raw %}$title ${x}",
    "[click](javascript:document.title='run')",
    "![](http://example.org/seen.png)",
    "http://example.org/ www.example.org a@example.org",
    "`code` **bold** | cell |\n# heading\n<!-- -->",
    '=HYPERLINK("http://example.org","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    "\t=1+1",
    "$\\frac{1}{$ \\unknown{",
    "[/red] [bold]",
    "\x1b]0;title\x07\x1b[2J\r",
    "\u202egnp.exe",
    "x" * 5000,
)
N = 400
RNG = np.random.default_rng(1)
LABELS = RNG.integers(0, 2, N)
SCORES = np.clip(RNG.normal(0.35 + 0.3 * LABELS, 0.2), 0.001, 0.999)


class Page(HTMLParser):
    """Collects what a browser would run, fetch or follow."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.policy = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= given.keys()
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset"}]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def check(self) -> None:
        assert not self.tags & {"script", "iframe", "object", "embed", "base", "form", "a", "link"}
        assert not {name for name in self.attributes if name.startswith("on")}
        assert all(link.startswith("data:image/png;base64,") for link in self.links)
        assert self.policy.startswith("default-src 'none';")
        assert "script" not in self.policy


def hostile_report(folder: Path) -> tuple[str, str]:
    """The page and the card of an evaluation whose every name is hostile."""
    for name in FIGURES:
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    column = [HOSTILE[number % len(HOSTILE)] for number in range(N)]
    outcome = measure(
        LABELS,
        {
            name: Network(Prediction(SCORES, 0.5, about), 1.2, [SCORES, SCORES])
            for name, about in zip(("one", "other"), HOSTILE, strict=False)
        },
        {HOSTILE[number]: Prediction(RNG.random(N), 0.5, HOSTILE[number]) for number in range(3)},
        [part for name in HOSTILE[:3] for part in slices_of_column(name, column)],
        find_units(np.arange(N)[:, None]),
        50,
        1,
    )["one"]
    words = " ".join(HOSTILE[:-1])
    findings = [{"level": "warn", "words": words}, {"level": "fail", "words": words}]
    token = {"sequences": 1, "kmers": 1, "unknown": 0, "unknown_share": 0.0, "windows": 1, "cut_bases": 0}
    fold = {"roc_auc": 0.9, "pr_auc": 0.8, "accuracy": 0.7, "f1": 0.6}
    subject = Subject(
        f"PyTorch, {HOSTILE[0]}",
        "PyTorch",
        "TensorFlow",
        N,
        int(LABELS.sum()),
        words,
        0.5,
        1.2,
        words,
        50,
        {"splits": {HOSTILE[1]: {"pairs": 1, "related": 1}}},
        findings,
        {HOSTILE[1]: token},
        {
            "folds": 1,
            "groups": list(HOSTILE),
            "dropped_pairs": 7,
            "each": [{"fold": 1, "pairs": 5, "related": 2, **fold}],
            "mean": fold,
            "std": fold,
        },
        {"data": {"pairs": list(HOSTILE)}},
        {HOSTILE[2]: HOSTILE[0]},
        {
            "source": HOSTILE[0],
            "reason": words,
            "frozen": {"roc_auc": 0.7, "pr_auc": 0.6},
            "tries": [{"encoder": HOSTILE[1], "val": None, "failure": words}],
        },
    )
    verdict = judge(outcome, N, int(LABELS.sum()), findings)
    return render_page(subject, outcome, verdict, folder), write_card(subject, outcome, verdict)


def test_the_report_runs_and_fetches_nothing(tmp_path: Path) -> None:
    page, _ = hostile_report(tmp_path)
    Page(page).check()
    assert "&lt;script&gt;document.title" in page
    assert "{{ 7 * 7 }}" in page


def test_the_card_has_no_markup_of_the_datas(tmp_path: Path) -> None:
    _, card = hostile_report(tmp_path)
    assert "<" not in card
    assert r"\[click\](javascript" in card
    assert r"http\://example.org" in card
    tables = [line for line in card.splitlines() if line.startswith("|")]
    for line in tables:
        cells = line.replace(r"\|", "").count("|") - 1
        assert cells in (2, 4)
    assert not [line for line in card.splitlines() if line.startswith(("#", "    ", "```"))]


def hostile_checks() -> str:
    """The page of the checks of hostile data."""
    matrix = RNG.uniform(-1, 1, (50, 4)).astype(np.float16)
    groups = {"train": np.array(HOSTILE, object), "val": np.array(HOSTILE, object)}
    findings = [
        Finding("groups", HOSTILE[0], level, " ".join(HOSTILE), 1, 2, 0.5, list(HOSTILE), HOSTILE[1])
        for level in ("warn", "fail")
    ]
    facts = [disjoint_fact("group", groups)]
    summary = summarize(matrix, np.ones(50, bool))
    return check([Values(of, summary, RULES) for of in ("embeddings", "interactions")], facts, findings).page


def test_the_page_of_the_checks_runs_and_fetches_nothing() -> None:
    page = hostile_checks()
    Page(page).check()
    assert "&lt;script&gt;document.title" in page


def test_formulas_in_a_reports_table_are_text(tmp_path: Path) -> None:
    path = tmp_path / "slices.csv"
    write_csv(path, pd.DataFrame({"=by": HOSTILE, "value": HOSTILE[::-1], "gain": -0.5, "mixed": True}))
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["'=by", "value", "gain", "mixed"]
    for row, by, value in zip(rows[1:], HOSTILE, HOSTILE[::-1], strict=True):
        # a carriage return would end the row
        assert [text.removeprefix("'") for text in row[:2]] == [one.replace("\r", " ") for one in (by, value)]
        assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in row[:2])
        assert row[2:] == ["-0.5", "True"]


@given(st.text(max_size=50))
def test_a_cell_is_never_a_formula_and_else_as_it_was(text: str) -> None:
    inert = cell(text)
    assert not inert.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert inert in (text, f"'{text}")


@given(st.text("<>[]()!`*_|\\~#$@:/.wx\n\r\t\x1b&;'\"", max_size=60))
def test_markdown_of_any_text_opens_no_tag_link_or_cell(text: str) -> None:
    inert = markdown(text)
    assert not set(inert) & set("<>\n\r\t\x1b")
    unescaped = inert.replace(r"\\", "")
    for mark in "[]|`*_!":
        assert unescaped.count(mark) == unescaped.count(f"\\{mark}")
    assert not re.search(r"(?<!\\)://", inert)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_figure_is_drawn_as_it_is(tmp_path: Path, name: str) -> None:
    counts = (np.ones(4), np.linspace(0, 1, 5))
    # fonts need no glyph for what is no letter
    shown = "".join(letter for letter in name[:60] if letter.isprintable())
    figures.plot_scaling(counts, counts, shown, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


@pytest.mark.parametrize("name", HOSTILE)
def test_a_message_can_neither_steer_nor_flood_a_terminal(name: str) -> None:
    shown = printable(f"column {name} is not there")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert len(shown) < 2_100


@pytest.mark.slow
def test_a_problem_that_doctor_prints_is_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from dnapair.commands import doctor

    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("'[/red] [bold]': 1\n")
    assert not doctor.run()
    assert "[/red] [bold]: there is no such setting" in capsys.readouterr().out
