"""Small bundles: as `dnapair register` writes them now, and as it did before they had a format."""

import json
from pathlib import Path

import numpy as np

from dnapair.drift import Limits, describe
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import build_untrained
from dnapair.files import write_json
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scaling import Scaler
from dnapair.scoring import Settings, write_bundle

SEQUENCES = ["".join(np.random.default_rng(seed).choice(list("ACGT"), 40 + seed % 7)) for seed in range(200)]


def make_bundle(tmp_path: Path) -> Path:
    """Write a bundle as `dnapair register` does, its scaler fitted on SEQUENCES, and its parts beside it."""
    encoder = build_untrained(k=4, layers=1, hidden=16, heads=2, seed=1)
    embedder = Embedder(encoder, "mean", "both", normalize=True, precision="float32", device="cpu")
    values = embedder.embed(SEQUENCES).astype(np.float16)
    scaler = Scaler(16, "dimension")
    scaler.partial_fit(values)
    scaler.save(tmp_path / "scaler.safetensors")
    spec = NetworkSpec(16, (8,), 1, 0.0, "layer", "relu", symmetric=True)
    network = tmp_path / "network"
    network.mkdir()
    write_json(network / "network.json", spec.to_json())
    save_weights(network / "weights.safetensors", initial_weights(spec, 1))
    folder = tmp_path / "bundle"
    folder.mkdir()
    reference = describe([(SEQUENCES, scaler.transform(values))], 4, len(SEQUENCES), Limits(0.05, 0.2, 0.01))
    settings = Settings("mean", "both", True, "float32", "error", 0.5)
    write_bundle(folder, encoder, tmp_path / "scaler.safetensors", network, settings, reference)
    return folder


def as_version_0_1_0_wrote_it(folder: Path) -> None:
    """Take away what dnapair 0.1.0 did not write before bundles had a format."""
    for name in ("manifest.json", "reference.json"):
        (folder / name).unlink()
    settings = {
        "pooling": "mean",
        "strand": "both",
        "normalize": True,
        "precision": "float32",
        "ambiguous": "error",
        "threshold": 0.5,
    }
    (folder / "settings.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
