"""The encoder: a BERT over k-mers, loaded whole or refused; nothing is initialised in silence."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import BertConfig, BertModel
from transformers.utils import logging as transformers_logging

from dnapair.embedding.shape import ACTIVATIONS, BertShape
from dnapair.errors import DnapairError
from dnapair.files import SUMS, check_sums, write_json
from dnapair.kmers import KmerVocabulary

UNTRAINED = "untrained"
_UNTRAINED_KEY = "dnapair_untrained"
_POSITIONS = 512
_CONFIG_KEYS = {
    "vocab_size": int,
    "hidden_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "intermediate_size": int,
    "max_position_embeddings": int,
    "type_vocab_size": int,
    "pad_token_id": int,
    "layer_norm_eps": float,
    "hidden_dropout_prob": float,
    "attention_probs_dropout_prob": float,
    "hidden_act": str,
    _UNTRAINED_KEY: str,
}
"""What of a config.json is used: others of transformers' keys name code, kernels or adapters to load."""
_LARGEST_CONFIG = 2**20
_HUB_FILES = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin"]


class Encoder(NamedTuple):
    """A BERT and its k-mers.

    Attributes
    ----------
    model : transformers.BertModel
        In evaluation mode, float32, without a pooler.
    vocabulary : KmerVocabulary
        Its k-mers.
    name : str
        What reports call it.
    trained : bool
        False for weights that were drawn, not learnt.
    fingerprint : str
        SHA-256 of every weight and k-mer id.
    """

    model: BertModel
    vocabulary: KmerVocabulary
    name: str
    trained: bool
    fingerprint: str

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self.model.config.hidden_size)

    @property
    def window(self) -> int:
        """Number of k-mers that fit into the model beside [CLS] and [SEP]."""
        return int(self.model.config.max_position_embeddings) - 2

    @property
    def shape(self) -> BertShape:
        """What a forward pass needs to know beside the weights."""
        config = self.model.config
        return BertShape(
            layers=int(config.num_hidden_layers),
            heads=int(config.num_attention_heads),
            dimensions=int(config.hidden_size),
            positions=int(config.max_position_embeddings),
            gelu=ACTIVATIONS[config.hidden_act],
            epsilon=float(config.layer_norm_eps),
        )

    def save(self, folder: Path) -> None:
        """Write the encoder in Hugging Face's layout: config.json, model.safetensors, vocab.txt."""
        with _quiet():
            self.model.save_pretrained(folder)
        self.vocabulary.write(folder / "vocab.txt")
        write_json(
            folder / "tokenizer_config.json",
            {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": self.window + 2},
        )


def build_untrained(k: int, layers: int, hidden: int, heads: int, seed: int) -> Encoder:
    """Build an encoder with drawn weights, the same on every machine for one seed.

    Parameters
    ----------
    k
        Length of a k-mer in bases.
    layers, hidden, heads
        Shape of the BERT; the feed-forward layers are 4 x ``hidden`` wide.
    seed
        At least 1.

    Returns
    -------
    Encoder
        With ``trained`` False and a name that says so.
    """
    vocabulary = KmerVocabulary.standard(k)
    config = BertConfig(
        vocab_size=vocabulary.size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=_POSITIONS,
        pad_token_id=vocabulary.pad,
    )
    setattr(config, _UNTRAINED_KEY, f"{layers} x {hidden}, k = {k}, seed {seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
    model.requires_grad_(False)
    return wrap(model, vocabulary, name="")


def load_encoder(source: str, revision: str | None, allow_pytorch_bin: bool) -> Encoder:
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
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(source, revision)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise DnapairError(
            f"{folder} has no config.json, so it is no Hugging Face checkpoint (encoder.source)."
        )
    if (folder / SUMS).is_file():
        check_sums(folder, f"Restore the encoder in {folder}, or make it again (encoder.source).")
    if not (folder / "model.safetensors").is_file():
        if not (folder / "pytorch_model.bin").is_file():
            raise DnapairError(f"{folder} has no model.safetensors: the checkpoint's weights are missing.")
        if not allow_pytorch_bin:
            raise DnapairError(
                f"{folder} has its weights in pytorch_model.bin only, a format that can carry code. "
                "Set encoder.allow_pytorch_bin: true to read the tensors in it and nothing else, "
                "or pin a revision that has model.safetensors."
            )
    vocabulary = KmerVocabulary.from_file(folder / "vocab.txt")
    config = _read_config(config_file, vocabulary)
    _check_size(folder, config)
    model = _load_weights(folder, config)
    model.requires_grad_(False)
    return wrap(model, vocabulary, name=_name(source, revision))


def _download(source: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise DnapairError(
            f"encoder.source: there is no folder {source!r}, nor is it a Hugging Face id (name/model)."
        )
    if revision is None:
        raise DnapairError(
            f"encoder.source: {source!r} is not a folder here. If it is a Hugging Face id, pin its commit in "
            f"encoder.revision, so that the run can be repeated (the page of the model lists its commits)."
        )
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DnapairError(
            f"The encoder {source} at revision {revision} can't be had from the Hugging Face hub: {reason} "
            "Check encoder.source and encoder.revision and the network, or download the files once and set "
            "encoder.source to their folder."
        ) from None


def _read_config(path: Path, vocabulary: KmerVocabulary) -> BertConfig:
    if path.stat().st_size > _LARGEST_CONFIG:
        raise DnapairError(f"{path} has more than {_LARGEST_CONFIG:,} bytes: it describes no BERT.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.get("model_type", "bert")
    except (ValueError, AttributeError, RecursionError) as error:
        raise DnapairError(f"{path} can't be read: {str(error).splitlines()[0]}") from None
    if kind != "bert":
        raise DnapairError(
            f"{path}: the checkpoint is a {str(kind)[:40]!r}, but dnapair encodes with 'bert' over k-mers."
        )
    known = {key: content[key] for key in _CONFIG_KEYS if key in content}
    for key, value in known.items():
        kind = _CONFIG_KEYS[key]
        whole = type(value) is int and kind is not str
        if not (whole or type(value) is kind) or (kind is not str and not 0 <= value < 2**31):
            raise DnapairError(f"{path}: {key} is {str(value)[:40]!r}, which no BERT has.")
    config = BertConfig(**known)
    heads = config.num_attention_heads
    if min(config.hidden_size, config.num_hidden_layers, heads) < 1 or config.hidden_size % heads:
        raise DnapairError(
            f"{path}: {config.num_hidden_layers} layer(s), and {heads} head(s) for a hidden_size of "
            f"{config.hidden_size}, which no BERT has."
        )
    if config.vocab_size != vocabulary.size:
        raise DnapairError(
            f"{path}: the model has {config.vocab_size} tokens, its vocab.txt {vocabulary.size}. "
            "One of the two belongs to another checkpoint."
        )
    if config.hidden_act not in ACTIVATIONS:
        raise DnapairError(
            f"{path}: hidden_act is {config.hidden_act!r}, but dnapair runs {', '.join(ACTIVATIONS)}. "
            "Choose another encoder.source."
        )
    return config


def _check_size(folder: Path, config: BertConfig) -> None:
    """Refuse a shape with more weights than the checkpoint has bytes, before memory is taken for it."""
    file = folder / "model.safetensors"
    if not file.is_file():
        file = folder / "pytorch_model.bin"
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                packed = [entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise DnapairError(f"{file} is packed, which PyTorch's own files never are: it is refused.")
    rows = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    layer = 4 * config.hidden_size + 2 * config.intermediate_size
    weights = config.hidden_size * (rows + config.num_hidden_layers * layer)
    if weights > file.stat().st_size:
        raise DnapairError(
            f"The checkpoint in {folder} does not fit: config.json describes {weights:,} weights, and "
            f"{file.name} has {file.stat().st_size:,} bytes."
        )


def _load_weights(folder: Path, config: BertConfig) -> BertModel:
    try:
        with _quiet():
            model, info = BertModel.from_pretrained(
                folder,
                config=config,
                add_pooling_layer=False,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=(folder / "model.safetensors").is_file(),
            )
    except UnpicklingError:
        raise DnapairError(
            f"{folder / 'pytorch_model.bin'} holds more than tensors, so it is refused."
        ) from None
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DnapairError(
            f"The weights in {folder} can't be read: {reason} Fetch the checkpoint anew."
        ) from None
    missing = sorted(info["missing_keys"])
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
    if missing or mismatched:
        found = [f"{len(missing)} missing (such as {missing[0]})"] if missing else []
        found += [f"{len(mismatched)} of another shape (such as {mismatched[0]})"] if mismatched else []
        raise DnapairError(
            f"The checkpoint in {folder} does not fit: weights {' and '.join(found)}. "
            "They would have been drawn at random, so it is refused."
        )
    return model


def _name(source: str, revision: str | None) -> str:
    return source if Path(source).is_dir() else f"{source}@{revision}"


def wrap(model: BertModel, vocabulary: KmerVocabulary, name: str) -> Encoder:
    """Make an encoder of a model that is at hand; it is put into evaluation mode."""
    untrained = getattr(model.config, _UNTRAINED_KEY, None)
    model.eval()
    return Encoder(
        model=model,
        vocabulary=vocabulary,
        name=f"{UNTRAINED} ({untrained})" if untrained else name,
        trained=not untrained,
        fingerprint=_fingerprint(model, vocabulary.ids),
    )


def _fingerprint(model: BertModel, ids: NDArray[np.int64]) -> str:
    digest = hashlib.sha256(ids.tobytes())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    # what transformers would report is checked and said by us
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
