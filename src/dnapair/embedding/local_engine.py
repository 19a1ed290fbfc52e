"""The engine that computes shards in this process, one after the other."""

from collections.abc import Callable, Sequence

from dnapair.embedding.embedder import Embedder
from dnapair.storage.shards import Shard, Values


def embed_here(
    shards: Sequence[Shard], read: Callable[[int, int], list[str]], make_embedder: Callable[[], Embedder]
) -> Values:
    """Embed shards one after the other.

    Parameters
    ----------
    shards
        What to embed.
    read
        Gives the sequences ``start`` to ``stop``.
    make_embedder
        Gives the embedder.

    Yields
    ------
    number : int
        The shard.
    values : np.ndarray, shape=(stop - start, dimensions)
        float32.
    """
    embedder = make_embedder()
    for shard in shards:
        yield shard.number, embedder.embed(read(shard.start, shard.stop))
