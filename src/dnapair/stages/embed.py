"""Stage `embed`: each unique sequence through the encoder, once."""

from dnapair import tracking
from dnapair.embedding.embedder import Embedder, check_embeddable
from dnapair.embedding.store import write_store
from dnapair.files import sha256
from dnapair.params import flatten, load_params
from dnapair.sequence_file import SequenceFile
from dnapair.stages import paths
from dnapair.stages.encoders import open_encoder


def run() -> None:
    """Embed artifacts/dataset/sequences.parquet into artifacts/embeddings."""
    params = load_params()
    logged = flatten(params.encoder, "encoder") | flatten(params.embed, "embed")
    with tracking.stage_run("embed", logged, paths.IDENTITIES) as run:
        encoder = open_encoder(params.encoder)
        sequences = SequenceFile(paths.SEQUENCES)
        check_embeddable(sequences, SequenceFile(paths.SEQUENCES, "id"), encoder.vocabulary.k)
        embedder = Embedder(
            encoder,
            params.encoder.pooling,
            params.encoder.strand,
            params.encoder.normalize,
            params.embed.batch_tokens,
            params.embed.device,
        )
        made_by = {
            "encoder": encoder.name,
            "trained": encoder.trained,
            "encoder_sha256": encoder.fingerprint,
            "k": encoder.vocabulary.k,
            "pooling": params.encoder.pooling,
            "strand": params.encoder.strand,
            "normalize": params.encoder.normalize,
            "sequences_sha256": sha256(paths.SEQUENCES),
        }
        store = write_store(
            paths.EMBEDDINGS,
            made_by,
            rows=len(sequences),
            shard_rows=params.embed.shard_rows,
            embed=lambda start, stop: embedder.embed(sequences.read(start, stop)),
        )
        run.log_params({"encoder.name": encoder.name, "encoder.sha256": encoder.fingerprint})
        run.log_metrics({"sequences": store.rows, "dimensions": store.dimensions})
        run.log_file(paths.EMBEDDINGS / "manifest.json")
