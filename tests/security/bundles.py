"""A whole model in a moment: the smallest encoder, scaler and network, as `dnapair register` puts them."""

from pathlib import Path

import numpy as np

from dnapair.embedding.encoder import build_untrained
from dnapair.files import write_json
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scaling import Scaler
from dnapair.scoring import Settings, write_bundle

SPEC = NetworkSpec(8, (4,), 1, 0.0, "layer", "relu", symmetric=True)


def make_bundle(folder: Path) -> Path:
    parts = folder / "parts"
    parts.mkdir(parents=True)
    encoder = build_untrained(k=3, layers=1, hidden=8, heads=2, seed=1)
    scaler = Scaler(8, "dimension")
    scaler.partial_fit(np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32))
    scaler.save(parts / "scaler.safetensors")
    write_json(parts / "network.json", SPEC.to_json())
    save_weights(parts / "weights.safetensors", initial_weights(SPEC, 1))
    bundle = folder / "bundle"
    bundle.mkdir()
    settings = Settings("mean", "both", True, "float32", "error", 0.5)
    write_bundle(bundle, encoder, parts / "scaler.safetensors", parts, settings)
    return bundle
