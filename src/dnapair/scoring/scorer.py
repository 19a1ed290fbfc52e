"""Scores pairs by a bundle: raw DNA in, probabilities out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dnapair.checks.drift import Watch
from dnapair.data.pair_columns import USUAL_PAIR
from dnapair.data.sequences import find_ambiguous, normalize
from dnapair.embedding.cache import EmbeddingCache
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder, check_embeddable
from dnapair.embedding.rounding import round_to_half
from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.scaling import InteractionScaling
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import load_weights
from dnapair.scoring.bundle import REFERENCE, open_bundle, read_part

_BLOCK_PAIRS = 256
_STEP_PAIRS = 16


class Scores(NamedTuple):
    """What a bundle says of n pairs.

    Attributes
    ----------
    probability : np.ndarray, shape=(n,)
        float32, that the pair is related.
    label : np.ndarray, shape=(n,)
        int64, 1 where the probability reaches the threshold.
    """

    probability: NDArray[np.float32]
    label: NDArray[np.int64]


class PairScorer:
    """Scores pairs of raw DNA.

    A pair's score is the same to the bit whatever pairs are scored with it, on the processors tried; but for
    rounding on a GPU.

    Parameters
    ----------
    folder
        A bundle by :func:`~dnapair.scoring.bundle.write_bundle`, of this or an earlier dnapair.

    Attributes
    ----------
    folder : Path
        The bundle.
    settings : Settings
        How sequences are treated.
    reference : dict or None
        Of its train sequences, for a :class:`~dnapair.checks.drift.Watch`; None in a bundle without.
    watch : Watch or None
        Told of every sequence that is embedded. None at first.
    precision : str
        ``float32`` or ``bfloat16``, what the encoder runs in here.

    Raises
    ------
    DnapairError
        As :func:`~dnapair.scoring.bundle.open_bundle`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = open_bundle(folder)
        reference = folder / REFERENCE
        self.reference = read_part(reference) if reference.is_file() else None
        self.watch: Watch | None = None
        encoder = load_encoder(str(folder / "encoder"), None, allow_pytorch_bin=False)
        self._embedder = Embedder(
            encoder,
            self.settings.pooling,
            self.settings.strand,
            self.settings.normalize,
            self.settings.precision,
        )
        self.precision = self._embedder.precision
        self._scaler = Scaler.load(folder / "scaler.safetensors")
        spec = NetworkSpec.from_json(read_part(folder / "network.json"))
        # one set of weights serves both frameworks: a network that TensorFlow trained runs here too
        weights = load_weights(folder / "weights.safetensors", spec)
        self._interactions = InteractionScaling.load(folder) if spec.interactions else None
        if self._interactions is not None and self._interactions.columns.size != spec.interactions:
            raise DnapairError(
                f"The model in {folder} takes {spec.interactions} interactions of a pair, and its layout has "
                f"{self._interactions.columns.size}: they are of other settings. Register it again."
            )
        self._takes_embeddings = spec.embeddings
        self._net = TorchNet(spec)
        self._net.set_weights(weights)
        self._net.eval()

    @property
    def k(self) -> int:
        """Bases in a k-mer of the encoder."""
        return self._embedder.encoder.vocabulary.k

    def score(
        self,
        seq1: Sequence[str],
        seq2: Sequence[str],
        first_row: int = 1,
        cache: EmbeddingCache | None = None,
        columns: tuple[str, str] = USUAL_PAIR,
        threshold: float | None = None,
    ) -> Scores:
        """Score pairs; a sequence that occurs more than once is embedded once.

        Parameters
        ----------
        seq1, seq2
            Raw DNA, n sequences each: upper or lower case, T or U.
        first_row
            What to call the first pair in a message.
        cache
            Embeddings of earlier calls, and of this one for later ones. One cache serves one scorer.
            A network that takes interactions alone needs none.
        columns
            What to call the two sides in a message.
        threshold
            Probability from which a pair is called related; None: the model's own, chosen on validation.

        Returns
        -------
        Scores
            For the n pairs.

        Raises
        ------
        DnapairError
            If the threshold is no probability; a sequence is empty, too short for one k-mer, or has letters
            outside ACGT while the model does not let them through; or an embedding is beyond float16's
            range.
        """
        if threshold is None:
            threshold = self.settings.threshold
        elif not 0 <= threshold <= 1:
            raise DnapairError(f"threshold is {threshold:g}, and a probability is from 0 to 1.")
        names: dict[str, str] = {}
        sides: tuple[list[str], list[str]] = ([], [])
        for side, values, sequences in zip(columns, (seq1, seq2), sides, strict=True):
            for pair, value in enumerate(values, start=first_row):
                name = f"{side} of pair {pair}"
                try:
                    sequence = normalize(value)
                except DnapairError as error:
                    raise DnapairError(f"{name}: {error}.") from None
                sequences.append(sequence)
                names.setdefault(sequence, name)
        logits = self.score_sequences(*sides, names, cache)
        probability = torch.sigmoid(torch.from_numpy(logits)).numpy()
        return Scores(probability.astype(np.float32), (probability >= threshold).astype(np.int64))

    def score_sequences(
        self,
        first: Sequence[str],
        second: Sequence[str],
        names: Mapping[str, str],
        cache: EmbeddingCache | None = None,
    ) -> NDArray[np.float64]:
        """Score pairs of sequences as :func:`~dnapair.data.sequences.normalize` gives them.

        Parameters
        ----------
        first, second
            n sequences each.
        names
            What to call each of them in a message.
        cache
            As for :meth:`score`.

        Returns
        -------
        np.ndarray, shape=(n,)
            The network's logits.

        Raises
        ------
        DnapairError
            As :meth:`score`.
        """
        sequences = list(names)
        self._check(names)
        rows = _find_rows(sequences, first, second)
        inputs = []
        # a watch looks at embeddings that the network does not take, too
        if self._takes_embeddings or self.watch is not None:
            scaled = self._embed(sequences, list(names.values()), cache)
            inputs = [scaled[own] for own in rows] if self._takes_embeddings else []
        if self._interactions is not None:
            inputs.append(self._interact(self._interactions, sequences, *rows))
        return self._logits(inputs)

    def observe(self, first: Sequence[str], second: Sequence[str], names: Mapping[str, str]) -> None:
        """Show the watch pairs without scoring them.

        Parameters
        ----------
        first, second, names
            As for :meth:`score_sequences`; of a pair with a sequence that has no name, nothing is shown but
            the other one.
        """
        sequences = list(names)
        self._check(names)
        self._embed(sequences, list(names.values()), None)
        if self._interactions is not None:
            known = [pair for pair in zip(first, second, strict=True) if names.keys() >= set(pair)]
            columns = ([pair[side] for pair in known] for side in range(2))
            self._interact(self._interactions, sequences, *_find_rows(sequences, *columns))

    def _embed(
        self, sequences: Sequence[str], names: Sequence[str], cache: EmbeddingCache | None
    ) -> NDArray[np.float32]:
        """Make scaled embeddings, shape=(len(sequences), dimensions); no two sequences are the same."""
        if cache is None:
            embeddings = self._encode(sequences, names)
        else:
            embeddings = cache.rows(
                sequences,
                lambda places: self._encode(
                    [sequences[place] for place in places], [names[place] for place in places]
                ),
            )
        if self.watch is not None:
            self.watch.observe(sequences, self._scaler.scale(embeddings))
        return self._scaler.transform(embeddings).astype(np.float32)

    def _interact(
        self,
        scaling: InteractionScaling,
        sequences: Sequence[str],
        rows1: NDArray[np.int64],
        rows2: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Make the scaled interactions of pairs, shape=(n, width)."""
        rows = describe_pairs(sequences, rows1, rows2, scaling.layout)[:, scaling.columns]
        # rounded as the pipeline stores them
        rounded = rows.astype(np.float16).astype(np.float32)
        if self.watch is not None:
            self.watch.observe_pairs(scaling.scaler.scale(rounded))
        return scaling.scaler.transform(rounded).astype(np.float32)

    def _check(self, names: Mapping[str, str]) -> None:
        """Refuse sequences that the model does not take."""
        if self.settings.ambiguous != "keep":
            for sequence, name in names.items():
                _refuse_ambiguous(sequence, name)
        check_embeddable(list(names), list(names.values()), self.k)

    def _encode(self, sequences: Sequence[str], names: Sequence[str]) -> NDArray[np.float16]:
        # rounded as the pipeline stores them
        return round_to_half(self._embedder.embed(sequences), names.__getitem__)

    def accepts(self, sequence: str) -> bool:
        """Tell whether a sequence, as :func:`~dnapair.data.sequences.normalize` gives it, can be embedded."""
        if self.settings.ambiguous != "keep" and find_ambiguous(sequence):
            return False
        try:
            check_embeddable([sequence], [""], self.k)
        except DnapairError:
            return False
        return True

    def _logits(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the network's logit of each pair, shape=(n,), for what it takes."""
        pairs = len(inputs[0])
        # rows by the 16, else matrix products add in another order; more than 256 do not stay in the cache
        padding = ((0, -pairs % _STEP_PAIRS), (0, 0))
        blocks = [torch.split(torch.from_numpy(np.pad(part, padding)), _BLOCK_PAIRS) for part in inputs]
        with torch.inference_mode():
            logits = torch.cat([self._net(*block) for block in zip(*blocks, strict=True)])
        scored: NDArray[np.float64] = logits[:pairs].double().numpy()
        return scored


def _find_rows(
    sequences: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of both columns' sequences."""
    place_of = {sequence: place for place, sequence in enumerate(sequences)}
    rows1, rows2 = (
        np.array([place_of[sequence] for sequence in column], np.int64) for column in (first, second)
    )
    return rows1, rows2


def _refuse_ambiguous(sequence: str, name: str) -> None:
    found = find_ambiguous(sequence)
    if found:
        raise DnapairError(
            f"{name}: letter {found.letter!r} at position {found.position} is not A, C, G or T. It was "
            "trained with data.ambiguous: error or drop; only a model trained with keep takes such letters."
        )
