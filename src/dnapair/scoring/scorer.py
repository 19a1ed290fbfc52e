"""Scores pairs by a bundle: raw DNA in, probabilities out."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dnapair.checks.drift import Watch
from dnapair.data.sequences import find_ambiguous, normalize
from dnapair.embedding.cache import EmbeddingCache
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder, check_embeddable
from dnapair.embedding.rounding import round_to_half
from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
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

        Returns
        -------
        Scores
            For the n pairs.

        Raises
        ------
        DnapairError
            If a sequence is empty, too short for one k-mer, or has letters outside ACGT while the model
            does not let them through; or an embedding is beyond float16's range.
        """
        names: dict[str, str] = {}
        columns: tuple[list[str], list[str]] = ([], [])
        for side, values, sequences in zip(("seq1", "seq2"), (seq1, seq2), columns, strict=True):
            for pair, value in enumerate(values, start=first_row):
                name = f"{side} of pair {pair}"
                try:
                    sequence = normalize(value)
                except DnapairError as error:
                    raise DnapairError(f"{name}: {error}.") from None
                sequences.append(sequence)
                names.setdefault(sequence, name)
        scaled = self.embed(list(names), list(names.values()), cache)
        place_of = {sequence: place for place, sequence in enumerate(names)}
        logits = self.logits(*(scaled[[place_of[sequence] for sequence in column]] for column in columns))
        probability = torch.sigmoid(torch.from_numpy(logits)).numpy()
        return Scores(
            probability.astype(np.float32), (probability >= self.settings.threshold).astype(np.int64)
        )

    def embed(
        self, sequences: Sequence[str], names: Sequence[str], cache: EmbeddingCache | None = None
    ) -> NDArray[np.float32]:
        """Make of sequences what the network takes.

        Parameters
        ----------
        sequences
            As :func:`~dnapair.data.sequences.normalize` gives them; with a cache, no two are the same.
        names
            What to call each in a message.
        cache
            As for :meth:`score`.

        Returns
        -------
        np.ndarray, shape=(len(sequences), dimensions)
            Scaled embeddings, float32.

        Raises
        ------
        DnapairError
            As :meth:`score`.
        """
        if cache is None:
            embeddings = self._embed(sequences, names)
        else:
            embeddings = cache.rows(
                sequences,
                lambda places: self._embed(
                    [sequences[place] for place in places], [names[place] for place in places]
                ),
            )
        if self.watch is not None:
            self.watch.observe(sequences, self._scaler.scale(embeddings))
        return self._scaler.transform(embeddings).astype(np.float32)

    def _embed(self, sequences: Sequence[str], names: Sequence[str]) -> NDArray[np.float16]:
        if self.settings.ambiguous != "keep":
            for sequence, name in zip(sequences, names, strict=True):
                _refuse_ambiguous(sequence, name)
        check_embeddable(sequences, names, self._embedder.encoder.vocabulary.k)
        # rounded as the pipeline stores them
        return round_to_half(self._embedder.embed(sequences), names.__getitem__)

    def accepts(self, sequence: str) -> bool:
        """Tell whether a sequence, as :func:`~dnapair.data.sequences.normalize` gives it, can be embedded."""
        if self.settings.ambiguous != "keep" and find_ambiguous(sequence):
            return False
        try:
            check_embeddable([sequence], [""], self._embedder.encoder.vocabulary.k)
        except DnapairError:
            return False
        return True

    def logits(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the network's logit of each pair, shape=(n,), for what :meth:`embed` made of both sides."""
        # rows by the 16, else matrix products add in another order; more than 256 do not stay in the cache
        padding = ((0, -len(first) % _STEP_PAIRS), (0, 0))
        sides = [
            torch.split(torch.from_numpy(np.pad(side, padding)), _BLOCK_PAIRS) for side in (first, second)
        ]
        with torch.inference_mode():
            logits = torch.cat([self._net(*block) for block in zip(*sides, strict=True)])
        scored: NDArray[np.float64] = logits[: len(first)].double().numpy()
        return scored


def _refuse_ambiguous(sequence: str, name: str) -> None:
    found = find_ambiguous(sequence)
    if found:
        raise DnapairError(
            f"{name}: letter {found.letter!r} at position {found.position} is not A, C, G or T. It was "
            "trained with data.ambiguous: error or drop; only a model trained with keep takes such letters."
        )
