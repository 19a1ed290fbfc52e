"""The engine that computes shards with Ray Data, on this machine or on a cluster."""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.store import code_sha256
from dnapair.errors import DnapairError, first_line
from dnapair.machine.stderr import silent_stderr
from dnapair.storage.shards import Shard, Values

if TYPE_CHECKING:
    # the process that only reads sequences need not wait for PyTorch
    from dnapair.embedding.embedder import Embedder

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# at its usual level, Ray calls it an error that actors which may be restarted have arguments
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

try:
    import ray
    from ray._private import ray_constants
    from ray.exceptions import RayError
except ImportError:
    raise DnapairError(
        "embed.engine: ray needs Ray, which is not installed. Install it with "
        "`pip install --constraint constraints.txt '.[ray]'`, or set embed.engine: local."
    ) from None

_REPEATS = 3
_PATIENCE = 10.0

Rows = dict[str, Any]


def embed_with_ray(
    shards: Sequence[Shard],
    read: Callable[[int, int], list[str]],
    make_embedder: Callable[[], "Embedder"],
    address: str | None,
    actors: int | tuple[int, int],
    num_cpus: float,
    num_gpus: float,
) -> Values:
    """Embed shards in Ray actors; each holds one embedder and takes one shard at a time.

    An actor or a node that dies is replaced, and its shards are made again. The sequences are read on this
    machine and the embedder's weights are sent from it: other nodes need no disk in common with it, just
    the same Python environment.

    Parameters
    ----------
    shards
        What to embed.
    read
        Gives the sequences ``start`` to ``stop``. It is called in other processes of this machine.
    make_embedder
        Gives the embedder. It is called in each actor.
    address
        None: a cluster on this machine, for as long as this lasts. ``auto``: the one this machine is part
        of. ``host:port``: the one with this head, which this machine is part of.
    actors
        How many, or the least and the most.
    num_cpus, num_gpus
        What Ray sets aside for each actor; PyTorch uses as many threads as whole CPUs.

    Yields
    ------
    number : int
        The shard; they come in any order.
    values : np.ndarray, shape=(stop - start, dimensions)
        float32.

    Raises
    ------
    DnapairError
        If there is no such cluster, if it has no room for the actors, or if an actor fails.
    """
    least, most = (actors, actors) if isinstance(actors, int) else actors
    with _cluster(address):
        _check_room(least, num_cpus, num_gpus)
        _configure()
        # one shard a block: what arrives as one block keeps one actor busy
        items = ray.data.from_items([shard._asdict() for shard in shards], override_num_blocks=len(shards))
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        rows = items.map_batches(
            _Reader,
            batch_size=1,
            fn_constructor_args=(ray.put(read),),
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=0,  # else actors that take all CPUs wait for their reader for ever
            label_selector=here,
        )
        with warnings.catch_warnings():
            # Ray Data's default is to try a shard that kills its actor again and again, for ever
            warnings.filterwarnings("ignore", message=".*ray_remote_args")
            results = rows.map_batches(
                _Worker,
                batch_size=1,
                fn_constructor_args=(code_sha256(), ray.put(make_embedder)),
                compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                max_task_retries=_REPEATS,
            )
        try:
            for batch in results.iter_batches(batch_size=None, batch_format="numpy"):
                for number, values in zip(batch["number"], batch["values"], strict=True):
                    yield int(number), values
        except Exception as error:
            raise DnapairError(_explain(error)) from None


class _Reader:
    """Reads the sequences of shards, on the machine that has them."""

    def __init__(self, read: Any) -> None:
        self.read: Callable[[int, int], list[str]] = ray.get(read)

    def __call__(self, batch: Rows) -> Rows:
        start, stop = int(batch["start"][0]), int(batch["stop"][0])
        return {"number": batch["number"], "sequences": [self.read(start, stop)]}


class _Worker:
    """Embeds shards, on any node."""

    def __init__(self, code: str, make_embedder: Any) -> None:
        self.code = code
        self.make_embedder = make_embedder

    @cached_property
    def embedder(self) -> "Embedder":
        # not made by the constructor, because Ray gives back only the text of what that raises
        if code_sha256() != self.code:
            raise DnapairError(
                f"The node {socket.gethostname()} has another version of dnapair, which could give other "
                "embeddings. Install the same one on all nodes and restart Ray there."
            )
        if not ray.get_gpu_ids():
            # Ray hides the GPUs of others, but not from an actor that has none
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        embedder: Embedder = ray.get(self.make_embedder)()
        return embedder

    def __call__(self, batch: Rows) -> Rows:
        values: NDArray[np.float32] = self.embedder.embed(list(batch["sequences"][0]))
        return {"number": batch["number"], "values": values[None]}


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    if address and ":" in address:
        _check_answer(address)
    # Ray's only way to keep a cluster of one machine off the network
    ray_constants.ENABLE_RAY_CLUSTER = address is not None
    try:
        # Ray's C++ part says there that it read one of its settings
        with silent_stderr():
            ray.init(
                address=address or "local",
                logging_level=logging.CRITICAL,
                log_to_driver=False,
                **({} if address else {"include_dashboard": False}),
            )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise DnapairError(
            f"embed.ray.address: {address or 'null'}: Ray can't be had there: {first_line(error)} "
            "Start it with `ray start --head`, join this machine with `ray start --address=HEAD:PORT`, or "
            "set embed.ray.address: null for this machine alone."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    # Ray itself would wait for minutes, then end the process
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise DnapairError(
            f"embed.ray.address: nothing answers at {address} ({error}). Start the head there with "
            f"`ray start --head --port={port}`, or set embed.ray.address: null for this machine alone."
        ) from None


def _check_room(actors: int, num_cpus: float, num_gpus: float) -> None:
    # Ray would wait for ever for a node that has room
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs = {"CPU": num_cpus, "GPU": num_gpus}
    room = sum(
        min(int(node.get(kind, 0) / need + 1e-6) for kind, need in needs.items() if need) for node in nodes
    )
    if room < actors:
        found = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise DnapairError(
            f"embed.ray: {actors} actor(s) with num_cpus: {num_cpus:g} and num_gpus: {num_gpus:g} each "
            f"don't fit, there is room for {room}. Nodes: {found}. Lower embed.ray.actors, num_cpus or "
            "num_gpus, or join more nodes with `ray start --address=HEAD:PORT`."
        )


def _configure() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # else an actor's error arrives as text in another one
    context.raise_original_map_exception = True
    # a shard of a large encoder may take a slow processor longer than Ray Data's half an hour
    context.execution_no_progress_timeout_s = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def _explain(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DnapairError):
            return str(seen)
        last, seen = seen, getattr(seen, "cause", None) or seen.__cause__
    return (
        f"embed.engine: ray: an actor failed: {type(last).__name__}: {first_line(last)} Finished shards are "
        "kept: run the same command again. Ray's logs are in /tmp/ray/session_latest/logs on each node."
    )
