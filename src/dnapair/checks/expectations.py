"""Great Expectations on the scaled data, and on input to be scored; its report as one page."""

import os
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import ChoiceLoader

from dnapair.checks.dimensions import Rule
from dnapair.checks.facts import SHOWN, Fact, name_some
from dnapair.checks.findings import Finding
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


class Values(NamedTuple):
    """A scaled matrix, and what must hold for it.

    Attributes
    ----------
    of
        What its rows are: ``embeddings`` or ``interactions``.
    summary
        From :func:`dnapair.checks.dimensions.summarize`.
    rules
        What must hold for each row of the summary.
    """

    of: str
    summary: pd.DataFrame
    rules: Sequence[Rule]


class Held(NamedTuple):
    """A rule or a fact, Great Expectations' result for it, and what was observed, in words."""

    what: Rule | Fact
    result: Any
    observed: str


class Part(NamedTuple):
    """A table of the page: its header, what it is about, and its rows."""

    header: str
    about: str
    rows: list[Held]


def check(matrices: Sequence[Values], facts: Sequence[Fact], findings: Sequence[Finding] = ()) -> Outcome:
    """Hold the data to every rule with Great Expectations, and put the audit's findings beside.

    Parameters
    ----------
    matrices
        Each with its rules.
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
    parts = [
        *(
            Part(
                f"Every value of the {of}",
                f"Reduced to a row for each of {len(summary)} dimensions, then checked.",
                _hold_rules(context, of, summary, rules),
            )
            for of, summary, rules in matrices
        ),
        Part("Rows, pairs and splits", "Numbers over the whole data.", _hold_facts(context, facts)),
    ]
    about = "What was checked before training: artifacts/normalized against artifacts/dataset."
    return _tell("checks of the scaled data", about, parts, findings)


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
    rows = _hold_facts(_context(), facts)
    return _tell("input", about, [Part("Input against the train sequences", counted, rows)], ())


def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _hold_rules(context: Any, of: str, summary: pd.DataFrame, rules: Sequence[Rule]) -> list[Held]:
    rules = [
        rule._replace(
            name=f"{of}: {rule.name}", fault=f"{of.capitalize()}: {rule.fault[0].lower()}{rule.fault[1:]}"
        )
        for rule in rules
    ]
    results = _validate(
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
    return [
        Held(rule, result, _observe(rule, summary, result))
        for rule, result in zip(rules, results, strict=True)
    ]


def _hold_facts(context: Any, facts: Sequence[Fact]) -> list[Held]:
    results = _validate(
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
    return [Held(fact, result, fact.observed) for fact, result in zip(facts, results, strict=True)]


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
    named = [f"dimension {offender['dimension']}: {offender[rule.column]:g}" for offender in wrong[:SHOWN]]
    return f"{len(wrong)} of {len(values)} dimensions ({name_some(named, len(wrong))})"


def _tell(title: str, about: str, parts: Sequence[Part], findings: Sequence[Finding]) -> Outcome:
    rows = [row for part in parts for row in part.rows]
    for row in rows:
        # what the page shows; Great Expectations' own text is a share of rows, or fails on numpy's numbers
        row.result.result["observed_value"] = escape(row.observed)
    expectations = [
        {"name": what.name, "checks": what.words, "success": bool(result.success), "observed": observed}
        for what, result, observed in rows
    ]
    failures = [f"{what.fault}: {observed}." for what, result, observed in rows if not result.success]
    failures += [f"{finding.words} {finding.remedy}" for finding in findings if finding.level == "fail"]
    return Outcome(expectations, failures, _render(title, about, parts, failures, findings))


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
                ValidationResultsTableContentBlockRenderer.render([row.result for row in part.rows]),
            ],
        )
        for part in parts
    ]
    checked = sum(len(part.rows) for part in parts) + len(findings)
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
