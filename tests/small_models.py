"""Small models: bundles as `dnapair register` writes them, now and before they had a format."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np

import dnapair
from dnapair.checks.reference import Limits, describe
from dnapair.data.pair_columns import PairColumns
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.scaling import Scaler
from dnapair.interactions.layout import Layout
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.scaling import InteractionScaling
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scoring.bundle import Settings, write_bundle
from dnapair.storage.files import sha256, write_json

SEQUENCES = ["".join(np.random.default_rng(seed).choice(list("ACGT"), 40 + seed % 7)) for seed in range(200)]
SETTINGS = Settings("mean", "both", True, "float32", "error", 0.5)
SPEC = NetworkSpec(16, (8,), 1, 0.0, "layer", "relu", symmetric=True)
LAYOUT = Layout(8, 8, aligned=True, symmetric=True)


def small_encoder(seed: int = 1) -> Encoder:
    """4-mers, 16 dimensions, drawn weights."""
    return build_untrained(k=4, layers=1, hidden=16, heads=2, seed=seed)


def fit_interactions(layout: Layout = LAYOUT, sequences: Sequence[str] = SEQUENCES) -> InteractionScaling:
    """Scale the rows of neighbours among the sequences, and of those that are seven apart."""
    fitted = Scaler(layout.width, "dimension")
    for apart in (1, 7):
        first = np.arange(len(sequences) - apart)
        # rounded as they are stored
        fitted.partial_fit(describe_pairs(sequences, first, first + apart, layout).astype(np.float16))
    return InteractionScaling.of(layout, fitted)


def make_bundle(
    folder: Path,
    *,
    encoder: Encoder | None = None,
    spec: NetworkSpec = SPEC,
    settings: Settings = SETTINGS,
    sequences: Sequence[str] = SEQUENCES,
    mode: str = "dimension",
    watched: bool = True,
    seed: int = 1,
    layout: Layout | None = None,
) -> Path:
    """Write a bundle into folder/bundle, its scaler fitted on the sequences, and its parts beside it.

    With a layout, the network takes interactions, scaled as :func:`fit_interactions` does.
    """
    encoder = encoder or small_encoder(seed)
    embedder = Embedder(
        encoder, settings.pooling, settings.strand, settings.normalize, precision="float32", device="cpu"
    )
    values = embedder.embed(sequences).astype(np.float16)
    scaler = Scaler(encoder.dimensions, mode)
    scaler.partial_fit(values)
    network = folder / "network"
    network.mkdir(parents=True)
    scaler.save(folder / "scaler.safetensors")
    if layout is not None:
        scaling = fit_interactions(layout, sequences)
        scaling.save(folder)
        spec = replace(spec, interactions=scaling.columns.size)
    write_json(network / "network.json", spec.to_json())
    save_weights(network / "weights.safetensors", initial_weights(spec, seed))
    bundle = folder / "bundle"
    bundle.mkdir()
    scaled, limits = scaler.transform(values), Limits(0.05, 0.2, 0.01)
    reference = describe([(sequences, scaled)], encoder.vocabulary.k, len(sequences), limits)
    parts = (bundle, encoder, folder, network, settings)
    write_bundle(*parts, reference if watched else None)
    return bundle


def as_format_3(folder: Path, number: int = 3) -> None:
    """Take away what dnapair did not write before models remembered columns."""
    settings = json.loads((folder / "settings.json").read_text())
    assert settings.pop("columns") == []
    write_json(folder / "settings.json", settings | {"format": number})
    renew_manifest(folder)


def as_format_2(folder: Path) -> None:
    """Take away what dnapair did not write before networks took interactions."""
    network = json.loads((folder / "network.json").read_text())
    assert (network.pop("embeddings"), network.pop("interactions")) == (True, 0)
    write_json(folder / "network.json", network)
    as_format_3(folder, 2)


def renew_manifest(folder: Path) -> None:
    """Write the hashes of a bundle's files as they are now."""
    (folder / "manifest.json").unlink()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(
        folder / "manifest.json", {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    )


def as_version_0_1_0_wrote_it(folder: Path) -> None:
    """Take away what dnapair 0.1.0 did not write before bundles had a format."""
    as_format_2(folder)
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


def save_model(
    folder: Path, seed: int = 1, columns: tuple[PairColumns, ...] = (), width: int | None = None
) -> str:
    """Save a model as the registry has it, trained with these columns or width; return its address."""
    # here, where the warnings of MLflow's import are let through
    from dnapair.registry.versions import signature

    settings = SETTINGS._replace(columns=columns, width=width)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(Path(dnapair.__file__).parent / "scoring" / "pyfunc.py"),
        artifacts={"bundle": str(make_bundle(folder, seed=seed, settings=settings))},
        signature=signature(columns, settings.threshold),
        pip_requirements=["mlflow"],
    )
    return str(folder / "model")
