"""Great Expectations on the scaled data, and on input to be scored; its report as one page."""

import os
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import ChoiceLoader

from dnapair.checks.findings import Finding
from dnapair.checks.summaries import SHOWN, Fact
from dnapair.reporting.templates import LOADER

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
with warnings.catch_warnings():
    # Great Expectations imports modules that Python has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import great_expectations as gx
    from great_expectations.expectations import ExpectColumnMaxToBeBetween, ExpectColumnValuesToBeBetween
    from great_expectations.render import (
        RenderedDocumentContent,
        RenderedHeaderContent,
        RenderedSectionContent,
    )
    from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer
    from great_expectations.render.view import DefaultJinjaPageView

LEAST = float(np.nextafter(0, 1))
"""The smallest number above 0."""


class Rule(NamedTuple):
    """What must hold for a column of the summary by dimension, in every row.

    Attributes
    ----------
    name
        Short.
    words
        What is checked, as a sentence.
    fault
        How to call it when it fails.
    column
        Of the summary.
    low, high
        The range its values must lie in, ends included; None is no limit.
    """

    name: str
    words: str
    fault: str
    column: str
    low: float | None
    high: float | None


RULES = (
    Rule("none below -1", "No value is below -1.", "Values are below -1", "smallest", -1, None),
    Rule("none above 1", "No value is above 1.", "Values are above 1", "greatest", None, 1),
    Rule(
        "finite",
        "Every value is a finite number.",
        "Values are not finite (how many, by dimension)",
        "not finite",
        0,
        0,
    ),
    Rule(
        "no constant dimension",
        "Every dimension has more than one value in training.",
        "Dimensions have one value only in training, so they tell nothing apart",
        "range in training",
        LEAST,
        None,
    ),
)
"""What holds for every dimension, however it was scaled."""

REACHES_ENDS = tuple(
    Rule(
        f"training reaches {end}",
        f"The {which} value of every dimension in training is exactly {end}.",
        f"Dimensions do not reach {end} in training",
        f"{which} in training",
        end,
        end,
    )
    for which, end in (("smallest", -1), ("greatest", 1))
)
"""What holds besides where each dimension was scaled by itself."""


class Outcome(NamedTuple):
    """What the checks found.

    Attributes
    ----------
    expectations
        For each its name, what it checks, success, and what was observed.
    failures
        Plain sentences for each expectation that does not hold, and each finding that stops the pipeline.
    page
        The report as HTML.
    """

    expectations: list[dict[str, Any]]
    failures: list[str]
    page: str


class Part(NamedTuple):
    """A table of the page: its header, what it is about, and Great Expectations' results."""

    header: str
    about: str
    results: list[Any]


def check(
    summary: pd.DataFrame, rules: Sequence[Rule], facts: Sequence[Fact], findings: Sequence[Finding] = ()
) -> Outcome:
    """Hold the data to every rule with Great Expectations, and put the audit's findings beside.

    Parameters
    ----------
    summary
        From :func:`dnapair.checks.summaries.summarize`.
    rules
        What must hold for each of its rows.
    facts
        What must hold for the whole.
    findings
        Of the audit, for the page and the failures.

    Returns
    -------
    Outcome
        Depends on the arguments alone: no times, no random names.
    """
    context = _context()
    by_dimension = _validate(
        context,
        summary,
        [
            ExpectColumnValuesToBeBetween(
                column=rule.column, min_value=rule.low, max_value=rule.high, description=rule.words
            )
            for rule in rules
        ],
        {
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["dimension"],
            "return_unexpected_index_query": False,
        },
    )
    as_a_whole = _validate_facts(context, facts)
    found: list[tuple[Rule | Fact, Any, str]] = [
        *(
            (rule, result, _observe(rule, summary, result))
            for rule, result in zip(rules, by_dimension, strict=True)
        ),
        *((fact, result, fact.observed) for fact, result in zip(facts, as_a_whole, strict=True)),
    ]
    expectations, failures = _tell(found)
    failures += [f"{finding.words} {finding.remedy}" for finding in findings if finding.level == "fail"]
    parts = [
        Part(
            "Every value",
            f"Reduced to a row for each of {len(summary)} dimensions, then checked.",
            by_dimension,
        ),
        Part("Rows, pairs and splits", "Numbers over the whole data.", as_a_whole),
    ]
    about = "What was checked before training: artifacts/normalized against artifacts/dataset."
    return Outcome(
        expectations, failures, _render("checks of the scaled data", about, parts, failures, findings)
    )


def check_input(facts: Sequence[Fact], about: str, counted: str) -> Outcome:
    """Hold input to what a model was trained on with Great Expectations.

    Parameters
    ----------
    facts
        From :meth:`dnapair.checks.drift.Watch.facts`.
    about
        What input, and which model, for the page.
    counted
        Of what the numbers are, for the page.

    Returns
    -------
    Outcome
        Depends on the arguments alone.
    """
    context = _context()
    results = _validate_facts(context, facts)
    expectations, failures = _tell(
        [(fact, result, fact.observed) for fact, result in zip(facts, results, strict=True)]
    )
    parts = [Part("Input against the train sequences", counted, results)]
    return Outcome(expectations, failures, _render("input", about, parts, failures, ()))


def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _validate_facts(context: Any, facts: Sequence[Fact]) -> list[Any]:
    return _validate(
        context,
        pd.DataFrame({fact.name: [fact.value] for fact in facts}),
        [
            ExpectColumnMaxToBeBetween(
                column=fact.name, min_value=fact.low, max_value=fact.high, description=fact.words
            )
            for fact in facts
        ],
        {"result_format": "BASIC"},
    )


def _tell(found: Sequence[tuple[Rule | Fact, Any, str]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Put each result into words; return all, and the sentences of those that fail."""
    for _, result, observed in found:
        # what the page shows; Great Expectations' own text is a share of rows, or fails on numpy's numbers
        result.result["observed_value"] = escape(observed)
    expectations = [
        {"name": what.name, "checks": what.words, "success": bool(result.success), "observed": observed}
        for what, result, observed in found
    ]
    return expectations, [
        f"{what.fault}: {observed}." for what, result, observed in found if not result.success
    ]


def _validate(
    context: Any, table: pd.DataFrame, expectations: list[Any], result_format: dict[str, Any]
) -> list[Any]:
    name = f"table of {len(expectations)} expectations"
    asset = context.data_sources.add_or_update_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name, expectations=expectations)
    results: list[Any] = batch.validate(suite, result_format=result_format).results
    return results


def _observe(rule: Rule, summary: pd.DataFrame, result: Any) -> str:
    values = summary[rule.column]
    if result.success:
        low, high = values.min(), values.max()
        span = f"{low:g} to {high:g}" if low < high else f"{low:g}"
        return f"{span} in {len(values)} dimensions"
    wrong = result.result["unexpected_index_list"]
    named = ", ".join(
        f"dimension {offender['dimension']}: {offender[rule.column]:g}" for offender in wrong[:SHOWN]
    )
    return f"{len(wrong)} of {len(values)} dimensions ({named}{', ...' if len(wrong) > SHOWN else ''})"


def _render(
    title: str, about: str, parts: Sequence[Part], failures: list[str], findings: Sequence[Finding]
) -> str:
    view = DefaultJinjaPageView()
    # Great Expectations' own frame loads its looks from the network
    view._template = "checks.html.j2"
    view.env.loader = ChoiceLoader([LOADER, view.env.loader])
    sections = [
        RenderedSectionContent(
            section_name=part.header,
            content_blocks=[
                RenderedHeaderContent(header=part.header, subheader=part.about),
                ValidationResultsTableContentBlockRenderer.render(part.results),
            ],
        )
        for part in parts
    ]
    checked = sum(len(part.results) for part in parts) + len(findings)
    heading = f"{len(failures)} of {checked} checks failed" if failures else f"All {checked} checks passed"
    page: str = view.render(
        RenderedDocumentContent(sections=sections),
        title=title,
        heading=heading,
        about=about,
        failures=failures,
        findings=findings,
    )
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"
