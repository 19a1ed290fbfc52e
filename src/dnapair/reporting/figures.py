"""How dnapair's figures look, how they are saved, and the histograms of scaling."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dnapair.storage.files import atomic_file

with suppress(ImportError):
    # a thread of MLflow does so, to see whether this is a notebook; Matplotlib fails on what is half there
    import IPython  # noqa: F401

INK = "#22303c"
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
GREYS = ("#5f6b76", "#8f9aa3", "#b9c1c8")
"""Okabe and Ito's colours, which every kind of colour vision tells apart, and greys for what is beside."""

COLOURS = 200
"""Of a figure's palette: no eye sees the difference."""

_SAVED_DPI = 150

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    # a $ in a name is a $
    "text.parse_math": False,
    "axes.edgecolor": GREYS[1],
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 22,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaed",
    "grid.linewidth": 0.8,
    "xtick.color": GREYS[0],
    "ytick.color": GREYS[0],
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}


@contextmanager
def drawing(
    path: Path,
    width: float = 6.0,
    height: float = 4.8,
    columns: int = 1,
    rows: int = 1,
    heights: Sequence[float] | None = None,
) -> Iterator[list[Axes]]:
    """Draw in dnapair's style; the PNG is written when the block ends well.

    Parameters
    ----------
    path
        The PNG. Its bytes depend on nothing but what is drawn.
    width, height
        In inches.
    columns, rows
        Number of axes side by side, and below each other.
    heights
        Of the rows, relative to each other; None: all the same.

    Yields
    ------
    list
        The axes, row by row.
    """
    with rc_context(STYLE):
        figure, axes = make_figure(width, height, columns, rows, heights)
        yield axes
        save_figure(figure, path)


def make_figure(
    width: float, height: float, columns: int = 1, rows: int = 1, heights: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """Make a figure and its axes, as :func:`drawing` gives them; its style is the current one."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whose bytes depend on nothing but what is drawn."""
    figure.set_dpi(_SAVED_DPI)
    # savefig would draw it twice, and write a file of which only the pixels are wanted
    drawn, size = FigureCanvasAgg(figure).print_to_buffer()  # type: ignore[no-untyped-call]
    image = Image.frombuffer("RGBA", size, drawn, "raw", "RGBA", 0, 1)
    with atomic_file(path) as temporary:
        # a palette makes a third of the bytes, which a report carries
        image.convert("RGB").quantize(COLOURS).save(temporary, "PNG", optimize=True)


def title(axes: Axes, text: str, below: str) -> None:
    """Write a title, and in a smaller line below it what the figure is of."""
    axes.set_title(text)
    axes.annotate(
        below, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", size=9, color=GREYS[0]
    )


def describe_encoder(name: str, trained: bool) -> str:
    """Name an encoder in a figure; one that was never trained is called so.

    Parameters
    ----------
    name
        Say ``"untrained (2 x 128, k = 6, seed 1)"`` or ``"zhihan1996/DNA_bert_6"``.
    trained
        False for an encoder built from a configuration.
    """
    return name if trained else f"untrained encoder {name.removeprefix('untrained').strip()}".rstrip()


def plot_scaling(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], encoder: str, path: Path
) -> None:
    """Draw the values of the embeddings before and after scaling.

    Parameters
    ----------
    before, after
        Counts of all finite values, shape=(bins,), and the bins' edges, shape=(bins + 1,).
    encoder
        What made the embeddings, for the title.
    path
        The PNG.
    """
    with drawing(path, 10, 4.2, columns=2) as (left, right):
        for axes, (counts, edges), colour in ((left, before, GREYS[0]), (right, after, BLUE)):
            axes.stairs(100 * counts / max(int(counts.sum()), 1), edges, fill=True, color=colour)
            axes.set_xlabel("value")
            axes.set_ylabel("share of all values in a bin (%)")
            axes.grid(axis="x", visible=False)
        right.set_xticks([-1, -0.5, 0, 0.5, 1])
        title(left, "Embeddings as the encoder made them", encoder)
        title(right, "After min-max to [-1, 1]", "fitted on the sequences of the training pairs")
