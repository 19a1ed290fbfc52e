"""A trained pair model as one folder: encoder, scaler, network and settings; written, checked and opened."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dnapair import __version__
from dnapair.data.pair_columns import PairColumns
from dnapair.embedding.embedder import Precision, Strand
from dnapair.embedding.encoder import Encoder
from dnapair.embedding.pooling import Pooling
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import LAYOUT, SCALER
from dnapair.storage.files import sha256, write_json

FORMAT = 5
"""Of the bundles written. 1 has no manifest.json, and no ``format`` and ``dnapair`` in settings.json; 1 and 2
have no interactions; 1 to 3 no columns and no width; 1 to 4 are one network, not the mean of several."""

_SETTINGS = "settings.json"
_MANIFEST = "manifest.json"
REFERENCE = "reference.json"
_REMEDY = (
    "Register it again (dnapair register), and promote that version: dnapair models promote VERSION --force "
    '--reason "..."; or fetch it anew from where it is kept.'
)
_PARTS = (_SETTINGS, "scaler.safetensors", "network.json", "weights.safetensors", "encoder/model.safetensors")


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
    columns
        The pair's columns in the tables that the model was trained with.
    width
        Bases of the windows round the places that it was trained with; None: places, if any, as they are.
    """

    pooling: Pooling
    strand: Strand
    normalize: bool
    precision: Precision
    ambiguous: str
    threshold: float
    columns: tuple[PairColumns, ...] = ()
    width: int | None = None


def write_bundle(
    folder: Path,
    encoder: Encoder,
    normalized: Path,
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
    normalized
        Folder with its scaler.safetensors and, where the network takes interactions, their scaling.
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
    shutil.copyfile(normalized / "scaler.safetensors", folder / "scaler.safetensors")
    for name in ("network.json", "weights.safetensors"):
        shutil.copyfile(network / name, folder / name)
    if read_part(folder / "network.json").get("interactions"):
        for name in (LAYOUT, SCALER):
            shutil.copyfile(normalized / name, folder / name)
    columns = [pair._asdict() for pair in settings.columns]
    written = settings._asdict() | {"columns": columns}
    write_json(folder / _SETTINGS, {"format": FORMAT, "dnapair": __version__, **written})
    if reference is not None:
        write_json(folder / REFERENCE, reference)
    # every later format keeps this file as it is: damage is told before all else
    write_json(folder / _MANIFEST, _hashes(folder))
    return bundle_sha256(folder)


def bundle_sha256(folder: Path) -> str:
    """Return the SHA-256 over a bundle's files and their names."""
    digest = hashlib.sha256()
    for name, own in _hashes(folder).items():
        digest.update(f"{name} {own}\n".encode())
    return digest.hexdigest()


def open_bundle(folder: Path) -> Settings:
    """Check a bundle's files and format.

    Returns
    -------
    Settings
        How it treats sequences and scores.

    Raises
    ------
    DnapairError
        If a part is missing or damaged, or a later dnapair wrote it in a format of its own.
    """
    hashes = read_part(folder / _MANIFEST) if (folder / _MANIFEST).is_file() else None
    missing = _missing(folder, hashes or (_SETTINGS,))
    changed = [
        name
        for name, expected in (hashes or {}).items()
        if name not in missing and sha256(folder / name) != expected
    ]
    if not missing and not changed:
        content = read_part(folder / _SETTINGS)
        number, writer = content.pop("format", 1), content.pop("dnapair", None)
        if number not in range(1, FORMAT + 1):
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
        columns = tuple(PairColumns(**pair) for pair in content.pop("columns", []))
        return Settings(**content, columns=columns)
    except TypeError as error:
        raise DnapairError(f"{folder / _SETTINGS} is damaged: {error}. {_REMEDY}") from None


def read_part(path: Path) -> dict[str, Any]:
    """Read one of a bundle's JSON files.

    Raises
    ------
    DnapairError
        If it is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DnapairError(f"{path} is damaged: it is not a JSON object. {_REMEDY}")
    return content


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]
