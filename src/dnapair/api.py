"""From Python: read pairs, embed sequences, load a model, score pairs and explain them.

The names of this file are those of :mod:`dnapair` itself: ``import dnapair`` gives them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnapair.data.columns import ColumnNames
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.pair_columns import PairColumns, choose_pair
from dnapair.data.raw_files import find_files
from dnapair.data.sequences import normalize as to_letters
from dnapair.errors import DnapairError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.pyfunc import PyFuncModel

    from dnapair.embedding.embedder import Embedder, Precision, Strand
    from dnapair.embedding.pooling import Pooling
    from dnapair.scoring import mutagenesis
    from dnapair.scoring.scorer import PairScorer


class Explanation:
    """Which bases of a pair carry its score; in a notebook it shows as its picture.

    Parameters
    ----------
    found
        What ``dnapair.scoring.mutagenesis.explain`` says.
    subject
        The model, in a few words.

    Attributes
    ----------
    probability : float
        Of the pair being related.
    label : int
        1 where the probability reaches the model's threshold.
    """

    def __init__(self, found: "mutagenesis.Explanation", subject: str) -> None:
        self._found = found
        self._subject = subject
        self.probability = found.probability
        self.label = int(found.probability >= found.threshold)

    def frame(self) -> pd.DataFrame:
        """Return a row for each base.

        Returns
        -------
        pd.DataFrame, shape=(len(seq1) + len(seq2), 5)
            ``sequence`` (``seq1`` or ``seq2``), ``position`` (from 1), ``base``, ``importance`` (how far the
            logit falls where the base is replaced) and ``mean_logit`` (of the pair with it replaced).
        """
        from dnapair.scoring.mutagenesis import BASE_COLUMNS, list_bases

        return pd.DataFrame(list_bases(self._found), columns=BASE_COLUMNS)

    def figure(self) -> "Figure":
        """Draw the importance of every base, and where the two sequences meet best.

        Returns
        -------
        matplotlib.figure.Figure
            Save it by its ``savefig``.
        """
        from dnapair.scoring.mutagenesis import draw_explanation

        return draw_explanation(self._found, f"scored by {self._subject}")

    def __str__(self) -> str:
        from dnapair.scoring.mutagenesis import spell_match

        head = f"probability {self.probability:.3f} by {self._subject}"
        return "\n".join([head, *spell_match(self._found)])

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        image = BytesIO()
        self.figure().savefig(image, format="png")
        return image.getvalue()


class Model:
    """A trained pair model: raw DNA in, probabilities out. ``load_model`` makes one.

    Parameters
    ----------
    scorer
        What scores.
    source
        Where it was loaded from.
    tags
        What the registry says of its version.
    model_id
        By which MLflow knows it.

    Attributes
    ----------
    source : str
        Where it was loaded from.
    tags : dict
        What the registry says of its version: what it was trained on and with, and how good it is.
    """

    def __init__(
        self, scorer: "PairScorer", source: str, tags: Mapping[str, str], model_id: str | None = None
    ) -> None:
        self._scorer = scorer
        self._model_id = model_id
        self.source = source
        self.tags = dict(tags)

    def __repr__(self) -> str:
        return f"<dnapair model {self.source}: k = {self._scorer.k}, threshold {self.threshold:.3f}>"

    @property
    def threshold(self) -> float:
        """Probability from which a pair is called related."""
        return self._scorer.settings.threshold

    @property
    def columns(self) -> tuple[PairColumns, ...]:
        """What the pair's two columns were called in training."""
        return self._scorer.settings.columns

    def score(
        self, pairs: Any, seq2: Sequence[str] | None = None, threshold: float | None = None
    ) -> pd.DataFrame:
        """Score pairs.

        Parameters
        ----------
        pairs
            A table, such as a pandas or polars data frame, a pyarrow table, or a dict of columns: the two
            sequences are in the columns that the model was trained with, or in ``seq1`` and ``seq2``. Or the
            first sequences: a list, an array, a column of a table.
        seq2
            The second sequences, where the first are given apart.
        threshold
            Probability from which a pair is called related; None: the model's own.

        Returns
        -------
        pd.DataFrame, shape=(n, 2)
            ``probability`` (float32) of being related, and ``label`` (int64), 1 where that reaches the
            threshold. Its index is that of a pandas object.

        Raises
        ------
        DnapairError
            If the columns are not there, the two sides differ in length, there are no pairs, the threshold is
            no probability, or a sequence is missing or can't be scored; the message names the pair, counted
            from 1.

        Examples
        --------
        >>> model = load_model(address)
        >>> model.score(["acgttgcaacgttgca"], ["TGCAACGTTGCAACGT"]).columns.tolist()
        ['probability', 'label']
        >>> model.score({"seq1": ["ACGTTGCA"], "seq2": ["ACG"]})
        Traceback (most recent call last):
            ...
        dnapair.errors.DnapairError: 1 sequence(s) can't be embedded, ...
        """
        names = ("seq1", "seq2")
        if seq2 is None:
            there = _column_names(pairs)
            names = choose_pair(there, self.columns)
            for name in names:
                if name not in there:
                    raise DnapairError(f"There is no column {name!r}: the model takes seq1 and seq2.")
            first, second = (pairs[name] for name in names)
        else:
            first, second = pairs, seq2
        index = next((side.index for side in (first, second) if isinstance(side, pd.Series)), None)
        seq1, seq2 = _texts(first, names[0]), _texts(second, names[1])
        if len(seq1) != len(seq2):
            raise DnapairError(f"{names[0]} has {len(seq1)} sequences and {names[1]} {len(seq2)}.")
        if not seq1:
            raise DnapairError("There are no pairs to score.")
        scores = self._scorer.score(seq1, seq2, columns=names, threshold=threshold)
        return pd.DataFrame(scores._asdict(), index=index)

    def explain(self, seq1: str, seq2: str, window: int = 1) -> Explanation:
        """Replace every base of a pair by each of the other three, and see what becomes of the score.

        Parameters
        ----------
        seq1, seq2
            Raw DNA.
        window
            Neighbouring bases that are replaced together, which divides the cost.

        Returns
        -------
        Explanation
            As a figure and as a frame.

        Raises
        ------
        DnapairError
            If a sequence is missing or can't be scored.

        Examples
        --------
        >>> load_model(address).explain("ACGTTGCAACGT", "ACGTTGCAACGT", window=4).frame().shape
        (24, 5)
        """
        from dnapair.scoring.mutagenesis import explain

        if not isinstance(window, int) or window < 1:
            raise DnapairError(f"window is {window!r}, not a number of bases.")
        (first,), (second,) = _texts([seq1], "seq1"), _texts([seq2], "seq2")
        found = explain(self._scorer, to_letters(first), to_letters(second), window=window)
        return Explanation(found, self.source)

    def classifier(self, threshold: float | None = None) -> "PyFuncModel":
        """Return the model as ``mlflow.models.evaluate`` takes a classifier.

        Its evaluator wants labels alone as predictions, and asks for probabilities apart; the registered
        model answers with both, in two columns.

        Parameters
        ----------
        threshold
            Probability from which a pair is called related; None: the model's own.

        Returns
        -------
        mlflow.pyfunc.PyFuncModel
            Its ``predict`` gives labels. A table may have other columns than the pair's too.

        Examples
        --------
        >>> model = load_model(address)
        >>> model.classifier(threshold=0.0).predict({"seq1": ["ACGTTGCA"], "seq2": ["ACGTTGCA"]})
        array([1])
        """
        from dnapair.registry.classifier import make_pyfunc

        return make_pyfunc(lambda pairs: self.score(pairs, threshold=threshold), self._model_id)


def load_model(source: str | Path = "models:/dnapair@champion") -> Model:
    """Load a model.

    Parameters
    ----------
    source
        Its address in MLflow's registry (``models:/NAME@ALIAS``, ``models:/NAME/VERSION``; the environment's
        MLFLOW_TRACKING_URI says which registry), or the folder that ``dnapair export --format model`` made.

    Returns
    -------
    Model
        It needs neither the registry nor the folder from here on.

    Raises
    ------
    DnapairError
        If there is no such model, it is damaged, or it is not one of dnapair's.

    Examples
    --------
    >>> load_model("models:/nobody@champion")
    Traceback (most recent call last):
        ...
    dnapair.errors.DnapairError: The model models:/nobody@champion can't be had...
    """
    from dnapair.registry.loading import load_model as load

    loaded = load(str(source))
    return Model(loaded.scorer, str(source), loaded.tags, loaded.model_id)


def embed(
    sequences: Sequence[str],
    encoder: str | Path,
    *,
    pooling: "Pooling" = "mean",
    strand: "Strand" = "both",
    normalize: bool = False,
    precision: "Precision" = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> NDArray[np.float32]:
    """Embed sequences by any encoder of DNABERT's kind.

    Parameters
    ----------
    sequences
        Raw DNA: upper or lower case, T or U.
    encoder
        A folder, or a name on the Hugging Face hub such as ``zhihan1996/DNA_bert_6``.
    pooling
        As ``encoder.pooling`` in params.yaml.
    strand
        As ``encoder.strand``.
    normalize
        As ``encoder.normalize``.
    precision
        As ``embed.precision``.
    device
        As ``embed.device``.

    Returns
    -------
    np.ndarray, shape=(len(sequences), dimensions)
        float32.

    Raises
    ------
    DnapairError
        If the encoder can't be had, or a sequence is missing or has no k-mer of A, C, G and T alone.

    Examples
    --------
    >>> embed(["ACGTTGCAACGT", "acguugcaacgu"], encoder).shape
    (2, 16)
    """
    from dnapair.embedding.embedder import check_embeddable

    texts = [to_letters(text) for text in _texts(sequences, "sequence", "")]
    found = _open_embedder(str(encoder), pooling, strand, normalize, precision, device)
    names = [f"sequence {number}" for number in range(1, len(texts) + 1)]
    check_embeddable(texts, names, found.encoder.vocabulary.k)
    return found.embed(texts)


def read_pairs(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    positive_label: str | int | bool | None = None,
    ambiguous: Literal["error", "drop", "keep"] = "error",
    contradictory: Literal["error", "drop"] = "error",
    genome: str | Path | None = None,
    width: int | None = None,
) -> pd.DataFrame:
    """Read pairs as the pipeline does: tables of sequences, of FASTA ids or of places, checked and cleaned.

    Parameters
    ----------
    path
        A file, or a folder of tables and FASTA files; packed or not.
    columns
        Names of columns that are not found: keys are ``id1``, ``id2``, ``seq1``, ``seq2`` and ``label``.
    positive_label
        As ``data.positive_label`` in params.yaml.
    ambiguous
        As ``data.ambiguous``.
    contradictory
        As ``data.contradictory``.
    genome
        As ``data.genome``.
    width
        As ``data.width``.

    Returns
    -------
    pd.DataFrame, shape=(n, 3 + others)
        ``seq1`` and ``seq2`` (upper case, DNA), ``label`` (1 = related), and every other column as text.

    Raises
    ------
    DnapairError
        If a file can't be read; the message says file and line.

    Examples
    --------
    >>> read_pairs(table)
           seq1      seq2  label  family
    0  ACGTTGCA  TTGCAACG      1   let-7
    1  ACGTTGCA  CCCCGGGG      0  miR-21
    """
    try:
        names = ColumnNames(**(columns or {}))
    except TypeError:
        raise DnapairError(
            f"columns has {', '.join(map(repr, columns or ()))}; there are {', '.join(ColumnNames._fields)}."
        ) from None
    reading = Reading(
        "auto", names, positive_label, ambiguous, contradictory, Path(genome) if genome else None, width
    )
    dataset = read_dataset(find_files(Path(path)), reading)
    sequences = np.array(list(dataset.sequences), object)
    first, second = sequences[dataset.rows].T
    others = dataset.extra_columns(dataset.extras, "it", "")
    pairs = pd.DataFrame({"seq1": first, "seq2": second, "label": dataset.pairs["label"].to_numpy()})
    others = others.reset_index(drop=True).astype(object)
    return pairs.join(others.rename(columns=lambda name: f"input_{name}" if name in pairs else name))


@lru_cache(maxsize=1)
def _open_embedder(
    source: str, pooling: "Pooling", strand: "Strand", normalize: bool, precision: "Precision", device: str
) -> "Embedder":
    from dnapair.embedding.checkpoint import load_encoder
    from dnapair.embedding.embedder import Embedder

    return Embedder(load_encoder(source), pooling, strand, normalize, precision, device)


def _column_names(table: Any) -> list[Any]:
    """Return the names of a table's columns, of whatever library it is."""
    for names in ("column_names", "columns", "keys"):
        found = getattr(table, names, None)
        if found is not None:
            return list(found() if callable(found) else found)
    raise DnapairError(
        f"A {type(table).__name__} is no table of pairs: give a data frame, or both sides: score(seq1, seq2)."
    )


def _texts(values: Any, name: str, of: str = " of pair") -> list[str]:
    """Return a side's sequences as a list, from whatever holds them."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise DnapairError(f"{name} is {values!r}: give a list of sequences.")
    texts = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise DnapairError(f"{name}{of} {number} is {text!r}, not a sequence.")
    return [str(text) for text in texts]
