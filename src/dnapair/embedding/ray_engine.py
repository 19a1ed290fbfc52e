"""The engine that computes shards in Ray actors, on this machine or on a cluster."""

import logging
import os
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from ray._private import ray_constants, services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError, RayTaskError
except ImportError:
    raise DnapairError(
        "embed.engine: ray needs Ray, which is not installed. Install it with "
        "`pip install --constraint constraints.txt '.[ray]'`, or set embed.engine: local."
    ) from None

_REPEATS = 3
_PATIENCE = 10.0


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

    An actor that dies, alone or with its node, is replaced where there is room, and its shard is made again.
    The sequences are read on this machine and the embedder's weights are sent from it: other nodes need no
    disk in common with it, just the same Python environment.

    Parameters
    ----------
    shards
        What to embed.
    read
        Gives the sequences ``start`` to ``stop``.
    make_embedder
        Gives the embedder. It is called in each actor.
    address
        None: a cluster on this machine, for as long as this lasts. ``auto``: the one this machine is part
        of. ``host:port``: the one with this head, which this machine is part of.
    actors
        How many, or the least and the most. It begins where there is room for the least.
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
        worker = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(_Worker)
        embedder = ray.put(make_embedder)
        try:
            yield from _share_out(
                shards,
                read,
                lambda: worker.remote(code_sha256(), [embedder]),
                min(most, len(shards)),
                lambda: _check_room(1, num_cpus, num_gpus),
            )
        except RayError as error:
            raise DnapairError(_explain(error)) from None


class _Task(NamedTuple):
    """What an actor is at: a shard, or its start."""

    actor: Any
    shard: Shard | None


def _share_out(
    shards: Sequence[Shard],
    read: Callable[[int, int], list[str]],
    start: Callable[[], Any],
    actors: int,
    check_room: Callable[[], None],
) -> Values:
    """Give each actor one shard at a time; one that was lost comes first again."""
    left, given, losses = deque(shards), Counter[int](), 0
    tasks: dict[Any, _Task] = {}

    def employ() -> None:
        actor = start()
        tasks[actor.prepare.remote()] = _Task(actor, None)

    for _ in range(actors):
        employ()
    while left or any(task.shard for task in tasks.values()):
        done, _ = ray.wait(list(tasks), timeout=_PATIENCE)
        if not done and not any(task.shard for task in tasks.values()):
            # Ray would wait for ever for a node that has room
            check_room()
        for reference in done:
            actor, shard = tasks.pop(reference)
            try:
                values = ray.get(reference)
            except RayTaskError:
                raise
            except RayError:
                # the actor, its node or the way to it; Ray tells no difference until it gives the node up
                ray.kill(actor)
                losses += 1
                if losses > _REPEATS * actors or (shard and given[shard.number] > _REPEATS):
                    raise
                if shard:
                    left.appendleft(shard)
                employ()
                continue
            if left:
                following = left.popleft()
                given[following.number] += 1
                sequences = read(following.start, following.stop)
                tasks[actor.embed.remote(sequences)] = _Task(actor, following)
            if shard:
                losses = 0
                yield shard.number, values


class _Worker:
    """Embeds shards, on any node."""

    def __init__(self, code: str, make_embedder: list[Any]) -> None:
        self.code = code
        # in a list Ray leaves it where it is: it may need the same version to be read
        self.make_embedder = make_embedder[0]

    def prepare(self) -> None:
        """Make the embedder; of what a constructor raises, Ray gives back only the text."""
        if code_sha256() != self.code:
            raise DnapairError(
                f"The node {socket.gethostname()} has another version of dnapair, which could give other "
                "embeddings. Install the same one on all nodes and restart Ray there."
            )
        if not ray.get_gpu_ids():
            # Ray hides the GPUs of others, but not from an actor that has none
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self.embedder: Embedder = ray.get(self.make_embedder)()

    def embed(self, sequences: list[str]) -> NDArray[np.float32]:
        return self.embedder.embed(sequences)


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    if address and ":" in address:
        _check_answer(address)
    # Ray's only way to keep a cluster of one machine off the network
    ray_constants.ENABLE_RAY_CLUSTER = address is not None
    if address is None:
        # else Ray leaves one in the home, with which a later `ray start` shuts out machines that have none
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex())
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
        if isinstance(error, AuthenticationError) or (address and _is_closed(address)):
            raise DnapairError(
                f"embed.ray.address: {address}: the cluster there has a token, and this process another one "
                "or none. Copy ~/.ray/auth_token of the head to the same place on this machine, and run the "
                "same command again with RAY_AUTH_MODE=token before it."
            ) from None
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


def _is_closed(address: str) -> bool:
    """Tell whether a cluster that Ray could not reach, without saying why, refused this process's token."""
    try:
        found = services.canonicalize_bootstrap_address(address)
    except ConnectionError:
        return False
    _check_answer(found)
    try:
        with silent_stderr():
            GcsClient(address=found)
    except AuthenticationError:
        return True
    except RayError:
        pass
    return False


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
