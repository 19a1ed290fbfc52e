"""MLflow's scoring protocol for pairs: a request's body in, its answer out.

The forms are those of MLflow's own scoring server, and tests hold the answers to be the same. That server
makes a pandas table of whatever comes, which a body of 2 MB with 300,000 columns keeps busy for a minute, and
repeats its input in errors. Here a body is read straight into two columns, and what is wrong is one sentence.
"""

import csv
import io
import json
import reprlib
from collections import ChainMap
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.data.pair_columns import USUAL_PAIR, PairColumns, choose_pair
from dnapair.data.sequences import normalize
from dnapair.errors import DnapairError

JSON, CSV = "application/json", "text/csv"

# of a field; what bounds it is the size of the body
csv.field_size_limit(2**31 - 1)

Choose = Callable[[Container[object]], tuple[str, str]]
"""Chooses the two columns among those of a request."""


class Pairs(NamedTuple):
    """The pairs of a request.

    Attributes
    ----------
    seq1, seq2
        The sequences, as they were sent.
    columns
        What the request calls the two.
    threshold
        Probability from which it wants a pair called related; None: the model's own.
    """

    seq1: list[str]
    seq2: list[str]
    columns: tuple[str, str]
    threshold: float | None = None


class Limits(NamedTuple):
    """What one request may ask.

    Attributes
    ----------
    max_pairs
        Pairs.
    max_bases
        Bases of a sequence.
    max_comparisons
        Bases of one sequence times those of the other, summed over the pairs: each meets each.
    max_bytes
        Bytes of the body.
    """

    max_pairs: int
    max_bases: int
    max_comparisons: float
    max_bytes: int


class RefusedError(DnapairError):
    """A request that is not answered with scores.

    Parameters
    ----------
    message
        One sentence.
    status
        HTTP's.
    code
        MLflow's name for the kind of error.
    """

    def __init__(self, message: str, status: int = 400, code: str = "INVALID_PARAMETER_VALUE") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def read_pairs(
    body: bytes, content_type: str | None, limits: Limits, remembered: Sequence[PairColumns] = ()
) -> Pairs:
    """Read the pairs of a request.

    Parameters
    ----------
    body
        JSON with one of ``dataframe_records``, ``dataframe_split``, ``instances`` and ``inputs``, and with
        ``params`` where the threshold is to be another; or CSV with a header. Columns other than the two
        are left out, as MLflow leaves them out.
    content_type
        Its header: application/json or text/csv.
    limits
        What is let through.
    remembered
        What the two columns were called in training; else they are ``seq1`` and ``seq2``.

    Returns
    -------
    Pairs
        At most as many as are let through.

    Raises
    ------
    RefusedError
        If the body is not of these forms (400, 415), or goes over a limit (400).
    """
    kind = _media_type(content_type)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"The body is not UTF-8 (byte {error.start + 1}).") from None

    def choose(there: Container[object]) -> tuple[str, str]:
        try:
            return choose_pair(there, remembered)
        except DnapairError as error:
            raise RefusedError(str(error)) from None

    pairs = (_read_json if kind == JSON else _read_csv)(text, limits, choose)
    for name, values in zip(pairs.columns, pairs[:2], strict=True):
        for pair, value in enumerate(values, start=1):
            _check_sequence(value, f"{name} of pair {pair}", limits)
    comparisons = sum(
        _count_bases(first) * _count_bases(second) for first, second in zip(*pairs[:2], strict=True)
    )
    if comparisons > limits.max_comparisons:
        raise RefusedError(
            f"The pairs lay {comparisons:.3g} bases beside each other, and {limits.max_comparisons:.3g} are "
            "let through (serve.max_comparisons). Send them in several requests; for long ones, there is "
            "dnapair predict."
        )
    return pairs


def write_scores(probability: NDArray[np.float32], label: NDArray[np.int64]) -> bytes:
    """Write the scores of n pairs, shape=(n,), as MLflow's scoring server does."""
    both = zip(probability.tolist(), label.tolist(), strict=True)
    return json.dumps(
        {"predictions": [{"probability": probability, "label": label} for probability, label in both]}
    ).encode()


def too_large(limits: Limits) -> RefusedError:
    """Return the error of a body with too many bytes."""
    return RefusedError(
        f"The body is larger than {limits.max_bytes / 10**6:g} MB (serve.max_megabytes). "
        "Send the pairs in several requests.",
        413,
    )


def _media_type(content_type: str | None) -> str:
    kind, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    if kind not in (JSON, CSV):
        # Parquet, which MLflow takes too, can unfold to any size
        raise RefusedError(f"The content type is {reprlib.repr(content_type)}; send {JSON} or {CSV}.", 415)
    if set(parameters) - {"", "charset=utf-8", 'charset="utf-8"'}:
        raise RefusedError(
            f"The content type is {reprlib.repr(content_type)}; its one parameter may be charset=utf-8.", 415
        )
    return kind


def _read_json(text: str, limits: Limits, choose: Choose) -> Pairs:
    try:
        content = json.loads(text)
    except RecursionError:
        raise RefusedError("The body is JSON that is nested too deep.") from None
    except ValueError as error:
        raise RefusedError(f"The body is not JSON: {error}.") from None
    forms = content.keys() & _FORMS.keys() if isinstance(content, dict) else ()
    if len(forms) != 1:
        raise RefusedError(f"The body must be a JSON object with exactly one of: {', '.join(_FORMS)}.")
    form = next(iter(forms))
    pairs = _FORMS[form](content[form], form, limits, choose)
    return pairs._replace(threshold=_read_threshold(content.get("params")))


def _read_threshold(params: Any) -> float | None:
    if params is None or params == {}:
        return None
    if not isinstance(params, dict) or params.keys() != {"threshold"}:
        raise RefusedError("params must be an object, and the one parameter that the model has is threshold.")
    threshold = params["threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise RefusedError(f"threshold is {reprlib.repr(threshold)}, and a probability is from 0 to 1.")
    return float(threshold)


def _records(content: Any, form: str, limits: Limits, choose: Choose) -> Pairs:
    if not isinstance(content, list):
        raise RefusedError(f"{form} must be a list of objects with the two sequences of a pair.")
    _check_count(len(content), limits)
    for pair, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise RefusedError(
                f"{form}: pair {pair} is {reprlib.repr(record)}, not an object with two sequences."
            )
    columns = choose(ChainMap(*content)) if content else USUAL_PAIR
    for pair, record in enumerate(content, start=1):
        for name in columns:
            if name not in record:
                raise RefusedError(f"{form}: pair {pair} has no {name}.")
    first, second = ([record[name] for record in content] for name in columns)
    return Pairs(first, second, columns)


def _split(content: Any, form: str, limits: Limits, choose: Choose) -> Pairs:
    names = content.get("columns") if isinstance(content, dict) else None
    rows = content.get("data") if isinstance(content, dict) else None
    if not isinstance(names, list) or not isinstance(rows, list):
        raise RefusedError(f"{form} must be an object with the lists columns and data.")
    _check_count(len(rows), limits)
    columns = _choose_once(names, choose)
    first, second = map(names.index, columns)
    for pair, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise RefusedError(f"{form}: pair {pair} is not a list of {len(names)} values, one a column.")
    return Pairs([row[first] for row in rows], [row[second] for row in rows], columns)


def _inputs(content: Any, form: str, limits: Limits, choose: Choose) -> Pairs:
    if not isinstance(content, dict):
        return _records(content, form, limits, choose)
    columns = choose(content)
    for name in columns:
        if name not in content:
            raise RefusedError(f"{form} has no {name}.")
    first, second = (
        content[name] if isinstance(content[name], list) else [content[name]] for name in columns
    )
    if len(first) != len(second):
        raise RefusedError(
            f"{form}: {columns[0]} has {len(first)} sequences and {columns[1]} has {len(second)}."
        )
    _check_count(len(first), limits)
    return Pairs(first, second, columns)


_FORMS: dict[str, Callable[[Any, str, Limits, Choose], Pairs]] = {
    "dataframe_records": _records,
    "dataframe_split": _split,
    "instances": _records,
    "inputs": _inputs,
}


def _read_csv(text: str, limits: Limits, choose: Choose) -> Pairs:
    rows = _csv_rows(text)
    header = next(rows, None)
    if header is None:
        raise RefusedError("The body is empty: CSV needs a header with the names of the two columns.")
    columns = _choose_once(header, choose)
    first, second = map(header.index, columns)
    pairs = Pairs([], [], columns)
    for pair, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise RefusedError(f"CSV: pair {pair} has {len(row)} values, and the header has {len(header)}.")
        pairs.seq1.append(row[first])
        pairs.seq2.append(row[second])
        # at once, or a long body would be read to its end
        _check_count(pair, limits)
    return pairs


def _csv_rows(text: str) -> Iterator[list[str]]:
    try:
        yield from filter(None, csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise RefusedError(f"The body is not CSV: {error}.") from None


def _choose_once(names: Sequence[Any], choose: Choose) -> tuple[str, str]:
    """Choose the two columns among the names in a header, each of which must be there once."""
    columns = choose(names)
    for name in columns:
        if names.count(name) != 1:
            raise RefusedError(f"There are {names.count(name)} columns {name}, and the model takes one.")
    return columns


def _check_count(pairs: int, limits: Limits) -> None:
    if pairs > limits.max_pairs:
        raise RefusedError(
            f"Pair {limits.max_pairs + 1} is one too many: a request may have {limits.max_pairs} "
            "(serve.max_pairs). Send the pairs in several requests."
        )


def _count_bases(sequence: str) -> int:
    # k-mers with spaces between: each adds a base to the first one's
    first, *others = sequence.split()
    return len(first) + len(others)


def _check_sequence(value: Any, name: str, limits: Limits) -> None:
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(f"{name} is {reprlib.repr(value)}, not a sequence.")
    if not value.isascii():
        letter = next(letter for letter in value if not letter.isascii())
        raise RefusedError(f"{name} has the character {letter!a}, which is no letter of DNA.")
    try:
        # k-mers with spaces between are several times as long as their sequence
        bases = len(value) if len(value) <= limits.max_bases else len(normalize(value))
    except DnapairError as error:
        raise RefusedError(f"{name}: {error}.") from None
    if bases > limits.max_bases:
        raise RefusedError(f"{name} has {bases} bases; the most is {limits.max_bases} (serve.max_bases).")
