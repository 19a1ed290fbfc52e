"""A trained pair model as one folder: encoder, scaler and network; raw DNA in, probabilities out."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dnapair import __version__
from dnapair.checks.drift import Watch
from dnapair.data.sequences import find_ambiguous, normalize
from dnapair.embedding.cache import EmbeddingCache
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder, Precision, Strand, check_embeddable
from dnapair.embedding.encoder import Encoder
from dnapair.embedding.pooling import Pooling
from dnapair.embedding.rounding import round_to_half
from dnapair.embedding.scaling import Scaler
from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import load_weights
from dnapair.storage.files import sha256, write_json

FORMAT = 2
"""Of the bundles written. 1 has no manifest.json, and no ``format`` and ``dnapair`` in settings.json."""

_SETTINGS = "settings.json"
_MANIFEST = "manifest.json"
_REFERENCE = "reference.json"
_REMEDY = "Register it again (dnapair register), or fetch it anew from where it is kept."
_PARTS = (_SETTINGS, "scaler.safetensors", "network.json", "weights.safetensors", "encoder/model.safetensors")
_BLOCK_PAIRS = 256
_STEP_PAIRS = 16


class Settings(NamedTuple):
    """How a bundle treats sequences and scores.

    Attributes
    ----------
    pooling, strand, normalize, precision
        As the embeddings were made, see :class:`~dnapair.embedding.embedder.Embedder`.
    ambiguous
        ``keep`` lets letters outside ACGT through; all else refuses them.
    threshold
        Probability from which a pair is called related.
    """

    pooling: Pooling
    strand: Strand
    normalize: bool
    precision: Precision
    ambiguous: str
    threshold: float


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


def write_bundle(
    folder: Path,
    encoder: Encoder,
    scaler: Path,
    network: Path,
    settings: Settings,
    reference: Mapping[str, Any] | None = None,
) -> str:
    """Put all that scoring needs into one folder.

    Parameters
    ----------
    folder
        An empty folder.
    encoder
        The encoder that made the embeddings.
    scaler
        Its scaler.safetensors.
    network
        Folder with network.json and weights.safetensors, trained by either framework.
    settings
        How sequences are treated.
    reference
        What :func:`dnapair.checks.drift.describe` says of the train sequences; None: none, so that input
        can't be watched.

    Returns
    -------
    str
        SHA-256 over all files and their names: the identity of the model.
    """
    (folder / "encoder").mkdir()
    encoder.save(folder / "encoder")
    shutil.copyfile(scaler, folder / "scaler.safetensors")
    for name in ("network.json", "weights.safetensors"):
        shutil.copyfile(network / name, folder / name)
    write_json(folder / _SETTINGS, {"format": FORMAT, "dnapair": __version__, **settings._asdict()})
    if reference is not None:
        write_json(folder / _REFERENCE, reference)
    # every later format keeps this file as it is: damage is told before all else
    write_json(folder / _MANIFEST, _hashes(folder))
    return bundle_sha256(folder)


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def bundle_sha256(folder: Path) -> str:
    """Return the SHA-256 over a bundle's files and their names."""
    digest = hashlib.sha256()
    for name, own in _hashes(folder).items():
        digest.update(f"{name} {own}\n".encode())
    return digest.hexdigest()


class PairScorer:
    """Scores pairs of raw DNA.

    A pair's score is the same to the bit whatever pairs are scored with it, on the processors tried; but for
    rounding on a GPU.

    Parameters
    ----------
    folder
        A bundle written by :func:`write_bundle`, of this or an earlier dnapair.

    Attributes
    ----------
    settings : Settings
        How it treats sequences.
    reference : dict or None
        Of its train sequences, for a :class:`~dnapair.checks.drift.Watch`; None in a bundle without.
    watch : Watch or None
        Told of every sequence that is embedded. None at first.

    Attributes
    ----------
    folder : Path
        The bundle.
    settings : Settings
        How sequences are treated.
    precision : str
        ``float32`` or ``bfloat16``, what the encoder runs in here.

    Raises
    ------
    DnapairError
        If a part of the bundle is missing or damaged, or a later dnapair wrote it in a format of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = _open_bundle(folder)
        reference = folder / _REFERENCE
        self.reference: dict[str, Any] | None = (
            _read_json(folder, _REFERENCE) if reference.is_file() else None
        )
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
        spec = NetworkSpec.from_json(_read_json(folder, "network.json"))
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
        columns = []
        for column, values in (("seq1", seq1), ("seq2", seq2)):
            sequences = _normalize(values, column, first_row)
            for place, sequence in enumerate(sequences, start=first_row):
                names.setdefault(sequence, f"{column} of pair {place}")
            columns.append(sequences)
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


def _normalize(values: Sequence[str], column: str, first_row: int) -> list[str]:
    sequences = []
    for place, value in enumerate(values, start=first_row):
        try:
            sequences.append(normalize(value))
        except DnapairError as error:
            raise DnapairError(f"{column} of pair {place}: {error}.") from None
    return sequences


def _open_bundle(folder: Path) -> Settings:
    """Check a bundle's files and format, and return its settings."""
    hashes = _read_json(folder, _MANIFEST) if (folder / _MANIFEST).is_file() else None
    missing = _missing(folder, hashes or (_SETTINGS,))
    changed = [
        name
        for name, expected in (hashes or {}).items()
        if name not in missing and sha256(folder / name) != expected
    ]
    if not missing and not changed:
        content = _read_json(folder, _SETTINGS)
        number, writer = content.pop("format", 1), content.pop("dnapair", None)
        if number not in (1, FORMAT):
            raise DnapairError(
                f"The model in {folder} was made with dnapair {writer}, in format {number}. This is dnapair "
                f"{__version__}, which reads formats 1 to {FORMAT}. Install dnapair {writer} or later, or "
                "train and register the model again with this one."
            )
        missing = _missing(folder, _PARTS if number == 1 else (*_PARTS, _MANIFEST))
    if missing or changed:
        faults = [f"{name} is missing" for name in missing] + [
            f"{name} is changed or truncated" for name in changed
        ]
        raise DnapairError(f"The model in {folder} is damaged: {', '.join(faults)}. {_REMEDY}")
    try:
        return Settings(**content)
    except TypeError as error:
        raise DnapairError(f"{folder / _SETTINGS} is damaged: {error}. {_REMEDY}") from None


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DnapairError(f"{folder / name} is damaged: it is not a JSON object. {_REMEDY}")
    return content


def _refuse_ambiguous(sequence: str, name: str) -> None:
    found = find_ambiguous(sequence)
    if found:
        raise DnapairError(
            f"{name}: letter {found.letter!r} at position {found.position} is not A, C, G or T. It was "
            "trained with data.ambiguous: error or drop; only a model trained with keep takes such letters."
        )
