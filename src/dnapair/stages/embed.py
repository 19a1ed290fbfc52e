"""Stage `embed`: each unique sequence through the encoder, once."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from dnapair import tracking
from dnapair.embedding.embedder import Embedder, check_embeddable, choose_precision
from dnapair.embedding.local_engine import embed_here
from dnapair.embedding.store import write_store
from dnapair.params import Embed, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.encoders import open_encoder
from dnapair.storage.files import sha256
from dnapair.storage.sequence_file import SequenceFile
from dnapair.storage.shards import Values


def run() -> None:
    """Embed artifacts/dataset/sequences.parquet into artifacts/embeddings."""
    params = load_params()
    logged = flatten(params.encoder, "encoder") | flatten(params.embed, "embed")
    with tracking.stage_run("embed", logged, paths.IDENTITIES) as run:
        encoder = open_encoder()
        paths.check(paths.DATASET)
        sequences = SequenceFile(paths.SEQUENCES)
        check_embeddable(sequences, SequenceFile(paths.SEQUENCES, "id"), encoder.vocabulary.k)
        precision = _precision(params.embed)
        make_embedder = partial(
            Embedder,
            encoder,
            params.encoder.pooling,
            params.encoder.strand,
            params.encoder.normalize,
            precision,
            params.embed.device,
            None if params.embed.batch_tokens == "auto" else params.embed.batch_tokens,
        )
        made_by = {
            "encoder": encoder.name,
            "trained": encoder.trained,
            "encoder_sha256": encoder.fingerprint,
            "k": encoder.vocabulary.k,
            "pooling": params.encoder.pooling,
            "strand": params.encoder.strand,
            "normalize": params.encoder.normalize,
            "precision": precision,
            "sequences_sha256": sha256(paths.SEQUENCES),
        }
        store = write_store(
            paths.EMBEDDINGS,
            made_by,
            rows=len(sequences),
            shard_rows=params.embed.shard_rows,
            produce=partial(_engine(params.embed), read=sequences.read, make_embedder=make_embedder),
            window=encoder.window,
        )
        run.log_params({"encoder.name": encoder.name, "encoder.sha256": encoder.fingerprint})
        run.log_metrics({"sequences": store.rows, "dimensions": store.dimensions})
        run.log_file(paths.EMBEDDINGS / "manifest.json")
        run.describe(
            f"{store.rows:,} sequences in {store.dimensions} dimensions by {encoder.name}, in {precision}."
        )


def _precision(settings: Embed) -> Literal["float32", "bfloat16"]:
    """Choose it here once, so that all nodes of a cluster use the same."""
    if settings.engine == "ray" and settings.ray.num_gpus:
        return "bfloat16" if settings.precision == "auto" else settings.precision
    return choose_precision(settings.precision, settings.device)


def _engine(settings: Embed) -> Callable[..., Values]:
    if settings.engine == "local":
        return embed_here
    # Ray is an extra, and slow to import
    from dnapair.embedding.ray_engine import embed_with_ray

    return partial(embed_with_ray, **dict(settings.ray))
