"""From the rows of pairs to what a network takes: the numbers that vary in training, in [-1, 1]."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
from dnapair.interactions.layout import Layout
from dnapair.storage.files import read_json, write_json

LAYOUT, SCALER = "interactions.json", "interactions.safetensors"
"""Its two files."""


class InteractionScaling(NamedTuple):
    """What became of the rows of the train pairs, to be done to every other row.

    Attributes
    ----------
    layout
        Of the rows.
    columns : np.ndarray, shape=(width,)
        The numbers of a row that vary in training, in order; all others are left out.
    scaler
        Of these.
    """

    layout: Layout
    columns: NDArray[np.int64]
    scaler: Scaler

    @classmethod
    def of(cls, layout: Layout, fitted: Scaler) -> "InteractionScaling":
        """Leave out what is constant in training; where all is, the first number stays."""
        columns = np.setdiff1d(np.arange(layout.width), fitted.constant)
        columns = columns if columns.size else np.arange(1)
        scaler = Scaler(columns.size, fitted.mode)
        scaler.minimum, scaler.maximum = fitted.minimum[columns], fitted.maximum[columns]
        return cls(layout, columns, scaler)

    def names(self) -> list[str]:
        """Say what each number that is kept is."""
        names = self.layout.names()
        return [names[column] for column in self.columns]

    def save(self, folder: Path) -> None:
        """Write its two files into a folder."""
        write_json(folder / LAYOUT, {"layout": self.layout._asdict(), "columns": self.columns.tolist()})
        self.scaler.save(folder / SCALER)

    @classmethod
    def load(cls, folder: Path) -> "InteractionScaling":
        """Read what :meth:`save` wrote.

        Raises
        ------
        DnapairError
            If a file is missing or damaged, or of interactions that this dnapair does not make.
        """
        content, scaler = read_json(folder / LAYOUT), Scaler.load(folder / SCALER)
        try:
            layout = Layout.from_json(content["layout"])
            listed = content["columns"]
            columns = np.array(listed, np.int64)
            fits = (
                all(type(column) is int for column in listed)
                and columns.shape == (scaler.minimum.size,)
                and (np.diff(columns, prepend=-1) > 0).all()
                and columns[-1] < layout.width
            )
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            fits = False
        if not fits:
            raise DnapairError(
                f"{folder / LAYOUT} is damaged. Make it again: dvc repro --force --single-item scale"
            )
        return cls(layout, columns, scaler)
