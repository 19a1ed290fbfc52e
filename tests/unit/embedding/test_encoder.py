import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.encoder import build_untrained
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.errors import DnapairError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_ID = "zhihan1996/DNA_bert_6"


def write_checkpoint(folder: Path, *, pytorch_bin: bool = False) -> Path:
    """A small DNABERT as its authors publish it: a masked language model, so with a `bert.` prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForMaskedLM(BertConfig(vocab_size=4101, **shape))
    model.save_pretrained(folder)
    if pytorch_bin:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    KmerVocabulary.standard(6).write(folder / "vocab.txt")
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "dnabert")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `huggingface_hub` leaves on disk after a download."""
    folder = tmp_path / "hub" / f"models--{HUB_ID.replace('/', '--')}"
    write_checkpoint(folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


def edit_weights(folder: Path, change) -> None:
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_untrained_is_the_same_for_one_seed_and_says_what_it_is():
    first, second, other = (build_untrained(3, 1, 8, 2, seed) for seed in (1, 1, 2))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert first.name == "untrained (1 x 8, k = 3, seed 1)"
    assert not first.trained


@pytest.mark.parametrize(
    "change", [{"num_attention_heads": 4}, {"hidden_act": "gelu_new"}, {"layer_norm_eps": 1e-5}]
)
def test_what_shows_in_no_weight_is_in_the_fingerprint_too(change: Mapping[str, object], tmp_path: Path):
    encoder = build_untrained(4, 1, 8, 2, 1)
    encoder.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    assert load_encoder(str(tmp_path)).fingerprint != encoder.fingerprint


def test_saved_encoder_is_the_same_and_still_untrained(tmp_path: Path):
    encoder = build_untrained(4, 1, 8, 2, 1)
    encoder.save(tmp_path)
    again = load_encoder(str(tmp_path))
    assert again.fingerprint == encoder.fingerprint
    assert again.name == encoder.name
    assert not again.trained


def test_saved_encoder_loads_in_stock_transformers(tmp_path: Path):
    encoder = build_untrained(6, 1, 8, 2, 1)
    encoder.save(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("AAAAAA GGGGGG")["input_ids"] == [2, 5, 4100, 3]
    model, said = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {name for name in said["missing_keys"] if not name.startswith("pooler.")} == set()
    assert not said["unexpected_keys"]
    for name, tensor in model.state_dict().items():
        if not name.startswith("pooler."):
            np.testing.assert_array_equal(tensor.numpy(), encoder.weights[name])


def test_masked_language_model_checkpoint_loads_whole(checkpoint: Path):
    encoder = load_encoder(str(checkpoint))
    stored = load_file(checkpoint / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(encoder.weights["embeddings.word_embeddings.weight"], stored.numpy())
    assert encoder.trained
    assert encoder.vocabulary.k == 6


def test_half_precision_checkpoint_is_computed_in_float32(checkpoint: Path):
    edit_weights(checkpoint, lambda weights: {name: tensor.half() for name, tensor in weights.items()})
    encoder = load_encoder(str(checkpoint))
    assert {values.dtype for values in encoder.weights.values()} == {np.dtype(np.float32)}


def test_the_first_berts_names_of_layer_normalisation_are_known(checkpoint: Path):
    expected = load_encoder(str(checkpoint)).fingerprint

    def rename(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new_name, old_name in old.items():
            weights = {name.replace(new_name, old_name): tensor for name, tensor in weights.items()}
        return weights

    edit_weights(checkpoint, rename)
    assert "bert.embeddings.LayerNorm.gamma" in load_file(checkpoint / "model.safetensors")
    assert load_encoder(str(checkpoint)).fingerprint == expected


def test_whole_numbers_are_no_weights(checkpoint: Path):
    name = "bert.encoder.layer.0.output.dense.bias"
    edit_weights(checkpoint, lambda weights: weights | {name: weights[name].to(torch.int8)})
    with pytest.raises(DnapairError, match="1 of another shape"):
        load_encoder(str(checkpoint))


def test_a_vocabulary_in_another_order_is_saved_as_it_is(checkpoint: Path, tmp_path: Path):
    lines = (checkpoint / "vocab.txt").read_text().split()
    order = ["[UNK]", "[PAD]", "[SEP]", "[CLS]", "[unused4]", *reversed(lines[5:])]
    (checkpoint / "vocab.txt").write_text("\n".join(order) + "\n")
    encoder = load_encoder(str(checkpoint))
    (tmp_path / "saved").mkdir()
    encoder.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").read_text().split() == order
    assert load_encoder(str(tmp_path / "saved")).fingerprint == encoder.fingerprint


def test_hub_id_is_read_from_the_hubs_layout(hub_cache: Path):
    encoder = load_encoder(HUB_ID, COMMIT)
    assert encoder.name == f"{HUB_ID}@{COMMIT}"
    assert encoder.trained


def test_hub_id_needs_a_pinned_revision(hub_cache: Path):
    with pytest.raises(DnapairError, match=r"encoder\.revision"):
        load_encoder(HUB_ID)


def test_revision_that_cannot_be_had_is_said(hub_cache: Path):
    with pytest.raises(DnapairError, match="can't be had"):
        load_encoder(HUB_ID, "f" * 40)


def test_pytorch_bin_needs_a_setting_and_gives_the_same_encoder(tmp_path: Path):
    expected = load_encoder(str(write_checkpoint(tmp_path / "a")), None, allow_pytorch_bin=False)
    folder = write_checkpoint(tmp_path / "b", pytorch_bin=True)
    with pytest.raises(DnapairError, match="allow_pytorch_bin"):
        load_encoder(str(folder))
    assert load_encoder(str(folder), allow_pytorch_bin=True).fingerprint == expected.fingerprint


class Planted:
    """An object that runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_code_in_a_pytorch_bin_is_not_run(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "dnabert", pytorch_bin=True)
    mark = tmp_path / "was run"
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({**weights, "planted": Planted(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(DnapairError, match="more than tensors"):
        load_encoder(str(folder), allow_pytorch_bin=True)
    assert not mark.exists()


def test_missing_folder_is_refused():
    with pytest.raises(DnapairError, match="no folder"):
        load_encoder("no/such/folder")


def test_folder_without_weights_is_refused(checkpoint: Path):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(DnapairError, match=r"no model\.safetensors"):
        load_encoder(str(checkpoint))


def test_truncated_weights_are_refused(checkpoint: Path):
    content = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(DnapairError, match="can't be read"):
        load_encoder(str(checkpoint))


def test_missing_weights_are_refused_not_drawn(checkpoint: Path):
    lost = "bert.encoder.layer.0.attention.self.query.weight"
    edit_weights(checkpoint, lambda weights: {name: value for name, value in weights.items() if name != lost})
    with pytest.raises(
        DnapairError, match=r"1 missing \(such as encoder\.layer\.0\.attention\.self\.query\.weight"
    ):
        load_encoder(str(checkpoint))


def test_unknown_prefix_is_refused_not_drawn(checkpoint: Path):
    edit_weights(checkpoint, lambda weights: {f"net.{name}": value for name, value in weights.items()})
    with pytest.raises(DnapairError, match="missing"):
        load_encoder(str(checkpoint))


def test_weights_of_another_shape_are_refused(checkpoint: Path):
    name = "bert.encoder.layer.0.output.dense.bias"
    edit_weights(checkpoint, lambda weights: weights | {name: torch.zeros(8)})
    with pytest.raises(DnapairError, match="1 of another shape"):
        load_encoder(str(checkpoint))


def test_vocabulary_of_another_checkpoint_is_refused(checkpoint: Path):
    KmerVocabulary.standard(5).write(checkpoint / "vocab.txt")
    with pytest.raises(DnapairError, match=r"4101 tokens, its vocab\.txt 1029"):
        load_encoder(str(checkpoint))


def test_another_kind_of_model_is_refused(checkpoint: Path):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(DnapairError, match="'gpt2'"):
        load_encoder(str(checkpoint))
