"""An encoder read from a checkpoint in Hugging Face's layout: whole, or refused."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from dnapair.embedding.bert import ACTIVATIONS, CONFIG, weight_shapes
from dnapair.embedding.encoder import UNTRAINED_KEY, Encoder, make_encoder
from dnapair.embedding.hub import find_checkpoint
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError, first_line
from dnapair.storage.files import SUMS, check_sums

_LARGEST_CONFIG = 2**20
_NUMPY_TYPES = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64"}
_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
"""Of layer normalisation in the first BERTs for PyTorch; some checkpoints still have them."""


def load_encoder(source: str, revision: str | None = None, allow_pytorch_bin: bool = False) -> Encoder:
    """Load a checkpoint from a folder or from the Hugging Face hub.

    Parameters
    ----------
    source
        A folder in Hugging Face's layout, or a hub id such as ``zhihan1996/DNA_bert_6``.
    revision
        The hub commit; needed for a hub id.
    allow_pytorch_bin
        Whether weights may come from a ``pytorch_model.bin``, read as tensors only.

    Returns
    -------
    Encoder
        With every weight from the checkpoint.

    Raises
    ------
    DnapairError
        If the checkpoint is missing, is not what its SHA256SUMS says, is not a BERT, has another vocabulary
        than k-mers, or lacks a weight.
    """
    folder = find_checkpoint(source, revision)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise DnapairError(
            f"{folder} has no config.json, so it is no Hugging Face checkpoint (encoder.source)."
        )
    if (folder / SUMS).is_file():
        check_sums(folder, f"Restore the encoder in {folder}, or make it again (encoder.source).")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        weights = folder / "pytorch_model.bin"
        if not weights.is_file():
            raise DnapairError(f"{folder} has no model.safetensors: the checkpoint's weights are missing.")
        if not allow_pytorch_bin:
            raise DnapairError(
                f"{folder} has its weights in pytorch_model.bin only, a format that can carry code. "
                "Set encoder.allow_pytorch_bin: true to read the tensors in it and nothing else, "
                "or pin a revision that has model.safetensors."
            )
    vocabulary = KmerVocabulary.from_file(folder / "vocab.txt")
    config = _read_config(config_file, vocabulary)
    _check_size(weights, config)
    name = source if Path(source).is_dir() else f"{source}@{revision}"
    return make_encoder(_load_weights(weights, config), config, vocabulary, name)


def _read_config(path: Path, vocabulary: KmerVocabulary) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_CONFIG:
        raise DnapairError(f"{path} has more than {_LARGEST_CONFIG:,} bytes: it describes no BERT.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.get("model_type", "bert")
    except (ValueError, AttributeError, RecursionError) as error:
        raise DnapairError(f"{path} can't be read: {first_line(error)}") from None
    if kind != "bert":
        raise DnapairError(
            f"{path}: the checkpoint is a {str(kind)[:40]!r}, but dnapair encodes with 'bert' over k-mers."
        )
    described = {**CONFIG, UNTRAINED_KEY: ""}
    known = {key: content[key] for key in described if key in content}
    for key, value in known.items():
        kind = type(described[key])
        whole = type(value) is int and kind is not str
        if not (whole or type(value) is kind) or (kind is not str and not 0 <= value < 2**31):
            raise DnapairError(f"{path}: {key} is {str(value)[:40]!r}, which no BERT has.")
    config = {**CONFIG, **known}
    layers, heads, hidden = (
        config[key] for key in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    if min(hidden, layers, heads) < 1 or hidden % heads:
        raise DnapairError(
            f"{path}: {layers} layer(s), and {heads} head(s) for a hidden_size of {hidden}, "
            "which no BERT has."
        )
    if config["vocab_size"] != vocabulary.size:
        raise DnapairError(
            f"{path}: the model has {config['vocab_size']} tokens, its vocab.txt {vocabulary.size}. "
            "One of the two belongs to another checkpoint."
        )
    if config["hidden_act"] not in ACTIVATIONS:
        raise DnapairError(
            f"{path}: hidden_act is {config['hidden_act']!r}, but dnapair runs {', '.join(ACTIVATIONS)}. "
            "Choose another encoder.source."
        )
    return config


def _check_size(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a shape with more weights than the checkpoint has bytes, before memory is taken for it."""
    if file.suffix == ".bin" and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            packed = [entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise DnapairError(f"{file} is packed, which PyTorch's own files never are: it is refused.")
    rows = config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"]
    layer = 4 * config["hidden_size"] + 2 * config["intermediate_size"]
    weights = config["hidden_size"] * (rows + config["num_hidden_layers"] * layer)
    if weights > file.stat().st_size:
        raise DnapairError(
            f"The checkpoint in {file.parent} does not fit: config.json describes {weights:,} weights, and "
            f"{file.name} has {file.stat().st_size:,} bytes."
        )


def _load_weights(file: Path, config: Mapping[str, Any]) -> dict[str, NDArray[np.floating]]:
    stored = _read_tensors(file)
    # a model with a head has its BERT under a name
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in stored else ""
    stored = {_rename(name.removeprefix(prefix)): tensor for name, tensor in stored.items()}
    expected = weight_shapes(config)
    missing = sorted(expected.keys() - stored.keys())
    mismatched = sorted(
        name
        for name in expected.keys() & stored.keys()
        if stored[name].shape != expected[name] or stored[name].dtype.kind != "f"
    )
    if missing or mismatched:
        found = [f"{len(missing)} missing (such as {missing[0]})"] if missing else []
        found += [f"{len(mismatched)} of another shape (such as {mismatched[0]})"] if mismatched else []
        raise DnapairError(
            f"The checkpoint in {file.parent} does not fit: weights {' and '.join(found)}. "
            "An encoder is used whole or not at all: fetch the checkpoint that its config.json describes."
        )
    # a copy: what is read where it lies on the disk would change with the file
    return {name: stored[name].astype(np.float32) for name in expected}


def _read_tensors(file: Path) -> dict[str, NDArray[Any]]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy") as tensors:
                names = tensors.keys()
                if {tensors.get_slice(name).get_dtype() for name in names} <= _NUMPY_TYPES:
                    return {name: tensors.get_tensor(name) for name in names}
        return _read_by_torch(file)
    except UnpicklingError:
        raise DnapairError(f"{file} holds more than tensors, so it is refused.") from None
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        raise DnapairError(
            f"The weights in {file.parent} can't be read: {first_line(error)} Fetch the checkpoint anew."
        ) from None


def _read_by_torch(file: Path) -> dict[str, NDArray[Any]]:
    """Read what NumPy can't: PyTorch's own files, and bfloat16."""
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        stored = load_file(file)
    else:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise DnapairError(f"{file} holds more than tensors, so it is refused.")
    return {
        name: (tensor.to(torch.float32) if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in stored.items()
    }


def _rename(name: str) -> str:
    start, dot, last = name.rpartition(".LayerNorm.")
    return f"{start}{dot}{_OLD_NAMES.get(last, last)}"
