"""Which bases of a pair carry its score: in-silico mutagenesis, as a table and a picture."""

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.special import expit
from tqdm import tqdm

from dnapair.interactions.alignment import Match, best_match, spell
from dnapair.reporting.figures import BLUE, GREYS, INK, ORANGE, STYLE, make_figure, save_figure, title
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.files import atomic_file

# each base becomes the next one, the one after it, and the third
_SHIFTS = [str.maketrans("ACGT", others) for others in ("CGTA", "GTAC", "TACG")]
_BLOCK_LETTERS = 2**17
_LETTERS_SHOWN = 60
_MATCH_COLUMNS = 120
_MATCH_LINES = 12
_STRETCHES = 3
_STRETCH_BASES = 10
BASE_COLUMNS = ("sequence", "position", "base", "importance", "mean_logit")
NOTHING = 1e-6
"""An importance below it is rounding."""


class Side(NamedTuple):
    """One sequence of a pair and what its bases do to the score.

    Attributes
    ----------
    sequence : str
        Upper-case letters.
    importance : np.ndarray, shape=(len(sequence),)
        Logit of the pair minus the mean logit of the base's mutants: above 0 where the base speaks for
        related, below 0 where it speaks against, 0 for a letter outside ACGT, which is not replaced.
    mean_logit : np.ndarray, shape=(len(sequence),)
        Of the base's mutants.
    """

    sequence: str
    importance: NDArray[np.float64]
    mean_logit: NDArray[np.float64]


class Explanation(NamedTuple):
    """What carries the score of a pair.

    Attributes
    ----------
    logit, probability
        Of the pair being related.
    threshold
        Probability from which the model calls a pair related.
    sides
        The first and the second sequence.
    match
        Where the two meet best; None where nothing of them matches.
    """

    logit: float
    probability: float
    threshold: float
    sides: tuple[Side, Side]
    match: Match | None


class Stretch(NamedTuple):
    """Neighbouring bases: the first one's position, counted from 0, their letters and summed importance."""

    start: int
    bases: str
    importance: float


def explain(
    scorer: PairScorer, seq1: str, seq2: str, names: tuple[str, str] = ("seq1", "seq2"), window: int = 1
) -> Explanation:
    """Replace every base of a pair by each of the other three, and see what becomes of the score.

    Each mutant goes through the whole model: encoder, scaler and network. A sequence of n bases has 3 n
    mutants of n bases, so the cost grows with the square of its length.
    Sources: Alipanahi et al. 2015, "Predicting the sequence specificities of DNA- and RNA-binding proteins
    by deep learning"; Nair et al. 2022, "fastISM: performant in silico saturation mutagenesis for
    convolutional neural networks".

    Parameters
    ----------
    scorer
        The model.
    seq1, seq2
        As :func:`~dnapair.data.sequences.normalize` gives them.
    names
        What to call the two in a message.
    window
        Neighbouring bases that are replaced together, which divides the cost: in a window's three mutants
        each base becomes the first, the second and the third after it in the circle A, C, G, T. What the
        window is worth is shared out evenly among its bases.

    Returns
    -------
    Explanation
        For the pair in this order.

    Raises
    ------
    DnapairError
        As :meth:`~dnapair.scoring.scorer.PairScorer.score`.
    """
    pair = dict(zip((seq1, seq2), names, strict=True))
    logit = float(scorer.score_sequences([seq1], [seq2], pair)[0])
    total = sum(len(_SHIFTS) * -(-len(sequence) // window) for sequence in (seq1, seq2))
    with tqdm(total=total, desc="explain", unit=" mutants", dynamic_ncols=True, disable=None) as bar:

        def score(side: int, mutants: Sequence[str]) -> NDArray[np.float64]:
            bar.update(len(mutants))
            others = [seq2 if side == 0 else seq1] * len(mutants)
            first, second = (mutants, others) if side == 0 else (others, mutants)
            named = dict.fromkeys(mutants, f"a mutant of {names[side]}") | pair
            return scorer.score_sequences(first, second, named)

        first, second = (
            _explain_side(sequence, logit, window, partial(score, side))
            for side, sequence in enumerate((seq1, seq2))
        )
    match = best_match(seq1, seq2)
    return Explanation(logit, float(expit(logit)), scorer.settings.threshold, (first, second), match)


def strongest(side: Side) -> list[Stretch]:
    """Find the stretches of up to 10 bases whose importance has the greatest sum, of either sign.

    Parameters
    ----------
    side
        A sequence.

    Returns
    -------
    list of Stretch
        Three at most, which do not overlap, the strongest first; none where no base matters.
    """
    bases = len(side.sequence)
    length = min(_STRETCH_BASES, -(-bases // 4))
    sums = np.convolve(side.importance, np.ones(length), "valid")
    # in a long sequence some way apart, so that they can be told apart in the picture
    apart = max(length, bases // 20)
    found: list[Stretch] = []
    for start in np.argsort(-np.abs(sums), kind="stable").tolist():
        if len(found) == _STRETCHES or abs(sums[start]) <= NOTHING:
            break
        if all(abs(start - other.start) >= apart for other in found):
            found.append(Stretch(start, side.sequence[start : start + length], float(sums[start])))
    return found


def list_bases(explanation: Explanation) -> Iterator[tuple[str, int, str, float, float]]:
    """List both sequences' bases: ``seq1`` or ``seq2``, position from 1, base, importance, mean logit."""
    for name, side in zip(("seq1", "seq2"), explanation.sides, strict=True):
        values = zip(side.sequence, side.importance.tolist(), side.mean_logit.tolist(), strict=True)
        for position, (base, importance, mean_logit) in enumerate(values, start=1):
            yield name, position, base, importance, mean_logit


def write_table(explanation: Explanation, path: Path) -> None:
    """Write a CSV with a line for each base, as :func:`list_bases` has them."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BASE_COLUMNS)
        for *place, importance, mean_logit in list_bases(explanation):
            writer.writerow([*place, f"{importance:.6f}", f"{mean_logit:.6f}"])


def plot_explanation(explanation: Explanation, subject: str, path: Path) -> None:
    """Draw the importance of every base of both sequences, as :func:`draw_explanation` does, into a PNG."""
    with rc_context(STYLE):
        save_figure(draw_explanation(explanation, subject), path)


def draw_explanation(explanation: Explanation, subject: str) -> Figure:
    """Draw the importance of every base of both sequences.

    Parameters
    ----------
    explanation
        By :func:`explain`.
    subject
        The model, in a few words.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each sequence, and below them where the two meet.
    """
    label = "related" if explanation.probability >= explanation.threshold else "unrelated"
    heights = np.concatenate([side.importance for side in explanation.sides])
    low, high = min(float(heights.min()), 0.0), max(float(heights.max()), 0.0)
    # room for the numbers of the stretches; a pair without importance has a height too
    margin = 0.12 * (high - low) or 1.0
    lines = spell_match(explanation, _MATCH_COLUMNS)
    shown = lines if len(lines) <= _MATCH_LINES else [*lines[:_MATCH_LINES], "(it goes on)"]
    ratios = [1.0, 1.0, 0.08 * len(shown)]
    with rc_context(STYLE):
        figure, (*panels, text) = make_figure(10, 3 * sum(ratios) + 0.6, rows=3, heights=ratios)
        text.axis("off")
        text.text(0, 1, "\n".join(shown), family="monospace", fontsize=8, va="top", transform=text.transAxes)
        for number, (axes, side) in enumerate(zip(panels, explanation.sides, strict=True), start=1):
            _draw_side(axes, side, f"Sequence {number}, {len(side.sequence):,} bases")
            axes.set_ylim(low - margin, high + margin)
        panels[-1].set_xlabel("position")
        figure.suptitle(
            f"Probability {explanation.probability:.3f} of being related: called {label} "
            f"(threshold {explanation.threshold:.3f})\n{subject}; a bar says how far the logit falls "
            "where that base is replaced",
            x=0.01,
            ha="left",
            fontsize=11,
        )
    return figure


def spell_match(explanation: Explanation, columns: int = 80) -> list[str]:
    """Write where the two sequences meet best, in lines of text."""
    if explanation.match is None:
        return ["The two sequences meet nowhere: no base of one matches the other."]
    heading, *lines = spell(explanation.match, columns)
    return [f"Where the two sequences meet best: {heading}", *lines]


def _explain_side(
    sequence: str, logit: float, window: int, score: Callable[[Sequence[str]], NDArray[np.float64]]
) -> Side:
    starts = range(0, len(sequence), window)
    step = max(1, _BLOCK_LETTERS // (len(_SHIFTS) * len(sequence)))
    blocks = (starts[place : place + step] for place in range(0, len(starts), step))
    logits = [
        score([mutant for start in block for mutant in _mutants(sequence, start, window)]) for block in blocks
    ]
    means = np.concatenate(logits).reshape(-1, len(_SHIFTS)).mean(axis=1)
    replaced = np.array([letter in "ACGT" for letter in sequence])
    windows = np.arange(len(sequence)) // window
    shares = (logit - means) / np.maximum(np.bincount(windows, replaced), 1)
    return Side(sequence, np.where(replaced, shares[windows], 0.0), means[windows])


def _mutants(sequence: str, start: int, window: int) -> list[str]:
    stop = start + window
    return [sequence[:start] + sequence[start:stop].translate(shift) + sequence[stop:] for shift in _SHIFTS]


def _draw_side(axes: Axes, side: Side, heading: str) -> None:
    bases = len(side.sequence)
    edges = np.arange(bases + 1) + 0.5
    axes.axhline(0, color=GREYS[1], linewidth=0.8)
    for heights, colour, label in (
        (np.maximum(side.importance, 0), BLUE, "speaks for related"),
        (np.minimum(side.importance, 0), ORANGE, "speaks against"),
    ):
        axes.stairs(heights, edges, fill=True, color=colour, label=label)
    if bases > _LETTERS_SHOWN:
        width = max(_STRETCH_BASES, bases // 50)
        smooth = uniform_filter1d(side.importance, width, mode="nearest")
        axes.plot(edges[:-1] + 0.5, smooth, color=INK, linewidth=1.2, label=f"mean of {width} bases")
    else:
        axes.set_xticks(np.arange(bases) + 1, list(side.sequence), family="monospace")
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
    axes.set_xlim(0.5, bases + 0.5)
    axes.set_ylabel("importance (logit)")
    # at the heading's height
    axes.legend(loc="center right", bbox_to_anchor=(1, 1.19), ncols=3, borderaxespad=0)
    stretches = strongest(side)
    for number, stretch in enumerate(stretches, start=1):
        # a gap between neighbours
        start, stop = stretch.start + 0.55, stretch.start + len(stretch.bases) + 0.45
        axes.axvspan(start, stop, color=GREYS[2], alpha=0.35, linewidth=0, zorder=0)
        axes.annotate(
            str(number),
            ((start + stop) / 2, 1),
            (0, -10),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            weight="bold",
        )
    named = [
        f"{number}: {bases} at {start + 1:,} ({value:+.2f})"
        for number, (start, bases, value) in enumerate(stretches, start=1)
    ]
    title(axes, heading, "strongest  " + "   ".join(named) if named else "no base changes the score")
