"""What needs no network: majority, one side alone, GC and length, k-mers, embeddings' cosine, neighbours."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dnapair.embedding.kmers import complement_codes, kmer_codes
from dnapair.evaluation.compositions import measure_compositions
from dnapair.evaluation.metrics import best_threshold
from dnapair.interactions.layout import DUPLEXES, KINDS
from dnapair.interactions.scaling import InteractionScaling
from dnapair.machine.processor import cores
from dnapair.networks.features import combine
from dnapair.storage.matrix import Matrix, MatrixFile, write_header
from dnapair.storage.sequence_file import letter_blocks
from dnapair.training.loop import Pairs

K = 4
SHORT = 4**K
"""Bases: a sequence of fewer has less than one of each 4-mer to expect, so shorter ones are counted too."""
FITTED_PAIRS = 50_000
"""Train pairs that a baseline is fitted on at most, drawn where there are more."""
TREES, DEPTH = 3.3, 3
"""Of a gradient boosting: trees, times the root of the pairs it is fitted on, and how deep they are. More
pairs bear more trees; these two numbers agree with the cards of the two data sets that they were tried on."""
_FEATURES = 0.3
"""Share of the interactions that a split of a tree chooses from: there are hundreds, and many go together."""
BLOCK = 8192
"""Pairs whose features are held at once."""
BLOCK_LETTERS = 2**20
"""Bases whose k-mers are counted at a time."""
MOST_AT_A_TIME = 4
"""Baselines that are fitted at a time: each holds the features of all its pairs."""
NEAREST_BLOCK = 512
"""Pairs compared with all fitted ones at once."""

Kind = Literal["data", "sequence", "embedding", "recipe"]
Score = Callable[[Pairs], np.ndarray]
"""Pairs to scores, shape=(n,), float64; greater means more likely related."""


class Baseline(NamedTuple):
    """A baseline, fitted.

    Attributes
    ----------
    about
        One sentence: what it sees, and what it does with it.
    kind
        What it is made of: the labels alone, the sequences, the embeddings; or another recipe.
    scores : dict of np.ndarray, each of shape=(n,)
        Of the pairs of ``val`` and ``test``, float64; greater means more likely related.
    threshold
        A pair at or above it counts as related.
    """

    about: str
    kind: Kind
    scores: dict[str, np.ndarray]
    threshold: float


class Met(NamedTuple):
    """How the two sequences of each pair meet.

    Attributes
    ----------
    matrix : array or MatrixFile, shape=(pairs, w)
        Scaled interactions.
    scaling
        What they are, and by what they were scaled.
    """

    matrix: Matrix
    scaling: InteractionScaling

    def column(self, name: str, pairs: Pairs) -> np.ndarray | None:
        """Return a number of each pair as it was before scaling, shape=(n,); None where it never varies."""
        names = self.scaling.names()
        if name not in names:
            return None
        place, scaler = names.index(name), self.scaling.scaler
        low, high = float(scaler.minimum[place]), float(scaler.maximum[place])
        values = _in_blocks(lambda block: self.matrix[block.rows][:, place].astype(np.float64), pairs)
        return low + (values + 1) / 2 * (high - low)


def fit_baselines(
    matrix: Matrix,
    sequences: Sequence[str],
    met: Met,
    splits: Mapping[str, Pairs],
    folder: Path,
    both_strands: bool,
    seed: int,
    others: Mapping[str, Callable[[], Baseline]] = MappingProxyType({}),
) -> dict[str, Baseline]:
    """Fit every baseline on train, choose its threshold on validation, and score validation and test.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(rows, d)
        Scaled embeddings.
    sequences
        The sequence of each row, upper-case; read from the first to the last, three times.
    met
        The pairs' interactions.
    splits
        Pairs of ``train``, ``val`` and ``test``, with their rows.
    folder
        Where the k-mers of the sequences lie meanwhile: some 2 kB a sequence.
    both_strands
        Whether a k-mer and its reverse complement are one.
    seed
        Draws the pairs to fit on where there are more than :data:`FITTED_PAIRS`.
    others
        What fits more of them, by name: beside these, in a thread that uses one core.

    Returns
    -------
    dict
        By name, ``others`` last.

    Raises
    ------
    DnapairError
        If validation holds one class alone.
    """
    train = draw(splits["train"], FITTED_PAIRS, seed)
    compositions = measure_compositions(sequences).astype(np.float32)
    short = bool(np.median(compositions[:, 1]) < SHORT)
    lengths = range(1, K + 1) if short else (K,)
    shares: Matrix = write_kmers(folder / "kmers.npy", sequences, lengths, both_strands)
    forward = shares
    if both_strands:
        forward = write_kmers(folder / "forward.npy", sequences, lengths, both_strands=False)
    offsets = np.cumsum([0, *(4**k for k in lengths)])
    turned = np.concatenate(
        [offset + complement_codes(k) for k, offset in zip(lengths, offsets.tolist(), strict=False)]
    )
    counted = f"1- to {K}-mers" if short else f"{K}-mers"
    kmers = f"{counted} ({'both strands' if both_strands else 'forward strand'})"
    majority = float(splits["train"].labels.mean() >= 0.5)

    def boost(features: Callable[[Pairs], np.ndarray], share: float = 1.0) -> Callable[[], Score]:
        model = HistGradientBoostingClassifier(
            max_features=share,
            max_iter=max(1, round(TREES * train.labels.size**0.5)),
            max_depth=DEPTH,
            early_stopping=False,
            random_state=seed,
        )
        # trees take float64, and would keep what they are given beside it
        return lambda: _fit(model, lambda pairs: features(pairs).astype(np.float64), train)

    recipes: dict[str, tuple[Kind, str, Callable[[], Score]]] = {
        "majority class": (
            "data",
            "Every pair gets the label that most train pairs have.",
            lambda: lambda pairs: np.full(pairs.labels.size, majority),
        ),
        "first sequence alone": (
            "sequence",
            f"Gradient boosting on the {kmers} of the first sequence: the second is not looked at.",
            boost(lambda pairs: shares[pairs.rows1]),
        ),
        "second sequence alone": (
            "sequence",
            f"Gradient boosting on the {kmers} of the second sequence: the first is not looked at.",
            boost(lambda pairs: shares[pairs.rows2]),
        ),
        "GC and length": (
            "sequence",
            "Gradient boosting on the GC content and the length of both sequences, and their differences.",
            boost(lambda pairs: _sides_and_distance(compositions, pairs)),
        ),
        "4-mer logistic regression": (
            "sequence",
            f"Logistic regression on how far the two sequences' {kmers} differ.",
            lambda: fit_kmers(shares, train, seed),
        ),
        "4-mer gradient boosting": (
            "sequence",
            f"Gradient boosting on the {kmers} of both sequences, their differences and products.",
            boost(lambda pairs: _combine(shares[pairs.rows1], shares[pairs.rows2])),
        ),
        "4-mer gradient boosting, reverse complement": (
            "sequence",
            f"Gradient boosting on the {counted} of the first sequence's reverse complement and of the "
            "second sequence, their differences and products.",
            boost(lambda pairs: _combine(forward[pairs.rows1][:, turned], forward[pairs.rows2])),
        ),
        "best local alignment": (
            "sequence",
            "The score of the best local alignment on either strand (Smith-Waterman), without a model.",
            lambda: lambda pairs: greatest(met, pairs, [f"{kind}: best alignment" for kind in KINDS[:2]]),
        ),
        "interaction gradient boosting": (
            "sequence",
            "Gradient boosting on the interactions of the pair, as the network takes them.",
            boost(lambda pairs: met.matrix[pairs.rows].astype(np.float32), _FEATURES),
        ),
        "embedding cosine": (
            "embedding",
            "The cosine of the two scaled embeddings, without a network.",
            lambda: lambda pairs: cosines(matrix, pairs),
        ),
        "nearest training pair": (
            "sequence",
            f"The label of the train pair with the most similar {kmers}, the surer the more similar.",
            lambda: fit_nearest(shares, train),
        ),
    }
    if train.rows is not None and _mostly_aligned(met, train):
        recipes["bases equal at the same offset"] = (
            "sequence",
            "The share of bases that agree at the same offset, without a model.",
            lambda: lambda pairs: greatest(met, pairs, ["bases equal at the same offset"]),
        )

    if met.scaling.layout.duplex:
        recipes["duplex energy"] = (
            "sequence",
            "The energy of the best duplex on either strand (nearest neighbours), without a model.",
            lambda: lambda pairs: greatest(met, pairs, [f"{kind}: greatest energy" for kind in DUPLEXES]),
        )

    def fit_and_score(recipe: tuple[Kind, str, Callable[[], Score]]) -> Baseline:
        kind, about, fit = recipe
        score = fit()
        scores = {split: score(splits[split]) for split in ("val", "test")}
        # the majority's scores are all the same: they leave nothing to choose
        threshold = 0.5 if kind == "data" else best_threshold(splits["val"].labels, scores["val"])
        return Baseline(about, kind, scores, threshold)

    own = {name: partial(fit_and_score, recipe) for name, recipe in recipes.items()}
    return _side_by_side({**own, **others})


def _side_by_side(fits: dict[str, Callable[[], Baseline]]) -> dict[str, Baseline]:
    def on_one_core(fit: Callable[[], Baseline]) -> Baseline:
        # trees and networks this small keep one core busy, no more
        with threadpool_limits(1, "openmp"):
            return fit()

    with ThreadPoolExecutor(min(cores(), MOST_AT_A_TIME)) as pool:
        # the dearest are among the last: begun early, so that no core waits long for them in the end
        begun = {name: pool.submit(on_one_core, fits[name]) for name in reversed(fits)}
        try:
            ended = as_completed(begun.values())
            for fitted in tqdm(
                ended, "baselines", len(fits), unit="baseline", dynamic_ncols=True, disable=None
            ):
                fitted.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return {name: begun[name].result() for name in fits}


def draw(pairs: Pairs, most: int, seed: int) -> Pairs:
    """Draw ``most`` pairs, in their order, where there are more; else return all of them."""
    if pairs.labels.size <= most:
        return pairs
    chosen = np.sort(np.random.default_rng(seed).choice(pairs.labels.size, most, replace=False))
    return pairs.take(chosen)


def gather(splits: Sequence[Pairs]) -> tuple[np.ndarray, list[Pairs]]:
    """Return the rows of sequences that pairs have, each once, and the pairs with places among these."""
    used = [side for pairs in splits for side in (pairs.rows1, pairs.rows2)]
    rows, places = np.unique(np.concatenate(used), return_inverse=True)
    sides = np.split(places, np.cumsum([side.size for side in used])[:-1])
    return rows, [
        Pairs(first, second, pairs.labels)
        for first, second, pairs in zip(sides[::2], sides[1::2], splits, strict=True)
    ]


def greatest(met: Met, pairs: Pairs, names: Sequence[str]) -> np.ndarray:
    """Return the greatest of some numbers of each pair, shape=(n,); 0 where none of them ever varies."""
    numbers = [met.column(name, pairs) for name in names]
    found = [own for own in numbers if own is not None]
    return np.maximum.reduce(found) if found else np.zeros(pairs.labels.size)


def _mostly_aligned(met: Met, pairs: Pairs) -> bool:
    equal = met.column("equal lengths", pairs)
    # a number that never varies is not kept: where rows tell of agreement, all lengths are equal
    return met.scaling.layout.aligned and (equal is None or float(equal.mean()) > 0.5)


def cosines(matrix: Matrix, pairs: Pairs) -> np.ndarray:
    """Return the cosine of each pair's two rows, shape=(n,); 0 where a row is all zeros."""

    def cosine(block: Pairs) -> np.ndarray:
        first, second = (matrix[rows].astype(np.float64) for rows in (block.rows1, block.rows2))
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        quotient: np.ndarray = (first * second).sum(axis=1) / np.where(norms > 0, norms, 1)
        return quotient

    return _in_blocks(cosine, pairs)


def count_kmers(
    sequences: Sequence[str], lengths: Sequence[int] = (K,), both_strands: bool = True
) -> np.ndarray:
    """Return how often each k-mer occurs in each sequence, per base.

    Parameters
    ----------
    sequences
        Upper-case letters; a k-mer that touches a letter outside ACGT is passed over.
    lengths
        Each k to count.
    both_strands
        Whether a k-mer and its reverse complement are one column.

    Returns
    -------
    np.ndarray, shape=(len(sequences), columns)
        float32; 136 columns for 4-mers of both strands. A sequence without any k-mer has zeros.
    """
    columns = [_columns(k, both_strands) for k in lengths]
    widths = [int(numbers.max()) + 1 for numbers in columns]
    shares = np.zeros((len(sequences), sum(widths)), np.float32)
    for row, sequence in enumerate(sequences):
        counts = []
        for k, numbers, width in zip(lengths, columns, widths, strict=True):
            codes = kmer_codes(sequence, k)
            counts.append(np.bincount(numbers[codes[codes >= 0]], minlength=width))
        shares[row] = np.concatenate(counts) / len(sequence)
    return shares


def write_kmers(
    path: Path, sequences: Sequence[str], lengths: Sequence[int], both_strands: bool
) -> MatrixFile:
    """Write what :func:`count_kmers` returns, as an .npy file, with a block of it in memory."""
    with (
        path.open("wb") as file,
        tqdm(
            total=len(sequences), desc="count k-mers", unit=" sequences", dynamic_ncols=True, disable=None
        ) as bar,
    ):
        for first, texts in letter_blocks(sequences, BLOCK_LETTERS):
            shares = count_kmers(texts, lengths, both_strands)
            if not first:
                write_header(file, (len(sequences), shares.shape[1]), shares.dtype)
            file.write(shares.tobytes())
            bar.update(len(texts))
    return MatrixFile(path)


def _columns(k: int, both_strands: bool) -> np.ndarray:
    """Map each k-mer's code to a column, which its reverse complement may share."""
    codes = np.arange(4**k)
    if both_strands:
        codes = np.unique(np.minimum(codes, complement_codes(k)), return_inverse=True)[1]
    return codes


def fit_kmers(shares: Matrix, train: Pairs, seed: int) -> Score:
    """Fit a logistic regression on the absolute differences of k-mer shares.

    Parameters
    ----------
    shares : array or MatrixFile, shape=(rows, columns)
        As :func:`count_kmers` gives them.
    train
        Pairs of train; at most :data:`FITTED_PAIRS` of them, drawn by ``seed``, are used.
    seed
        Of that draw.

    Returns
    -------
    callable
        Pairs to the probability that each is related, shape=(n,).
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _fit(
        model,
        lambda pairs: np.abs(shares[pairs.rows1] - shares[pairs.rows2]),
        draw(train, FITTED_PAIRS, seed),
    )


def fit_nearest(shares: Matrix, train: Pairs) -> Score:
    """Look up the most similar train pair.

    Two pairs are as similar as the mean of their sides' cosines, in the order of sides that gives more.
    So a copy of a train pair is found in either order, and where strands are one also reverse-complemented.

    Parameters
    ----------
    shares : array or MatrixFile, shape=(rows, columns)
        As :func:`count_kmers` gives them.
    train
        Pairs to be found, each held in memory.

    Returns
    -------
    callable
        Pairs to scores: the similarity, 1 at most, for a related neighbour; less than 0 by as much for an
        unrelated one.
    """

    def directions(rows: np.ndarray) -> np.ndarray:
        own = shares[rows]
        norms = np.linalg.norm(own, axis=1, keepdims=True)
        return own / np.where(norms > 0, norms, 1)

    known = np.concatenate([directions(train.rows1), directions(train.rows2)], axis=1).T
    signs = np.where(train.labels == 1, 1.0, -1.0)

    def score(pairs: Pairs) -> np.ndarray:
        first, second = directions(pairs.rows1), directions(pairs.rows2)
        similarities = np.concatenate([first, second], axis=1) @ known
        np.maximum(similarities, np.concatenate([second, first], axis=1) @ known, out=similarities)
        nearest = similarities.argmax(axis=1)
        best = similarities[np.arange(nearest.size), nearest].astype(np.float64) / 2
        signed: np.ndarray = best * signs[nearest]
        return signed

    return lambda pairs: _in_blocks(score, pairs, NEAREST_BLOCK)


def _sides_and_distance(values: np.ndarray, pairs: Pairs) -> np.ndarray:
    first, second = values[pairs.rows1], values[pairs.rows2]
    return np.concatenate([first, second, np.abs(first - second)], axis=1)


def _combine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate(combine(first, second, symmetric=False), axis=1)


def _fit(model: Any, features: Callable[[Pairs], np.ndarray], train: Pairs) -> Score:
    model.fit(features(train), train.labels)

    def score(block: Pairs) -> np.ndarray:
        probabilities: np.ndarray = model.predict_proba(features(block))[:, 1].astype(np.float64)
        return probabilities

    return lambda pairs: _in_blocks(score, pairs)


def _in_blocks(score: Score, pairs: Pairs, size: int | None = None) -> np.ndarray:
    size = size or BLOCK
    starts = range(0, pairs.labels.size, size)
    return np.concatenate([score(pairs.take(slice(start, start + size))) for start in starts])
