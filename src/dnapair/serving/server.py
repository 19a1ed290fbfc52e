"""`dnapair serve`: the registered model behind MLflow's scoring protocol, for many clients.

The server listens while the model loads, and answers 503 until one pair has been scored. Then requests are
scored in threads, as many as cores: the Python of one runs while another's arithmetic does. A request beyond
these waits its turn, first come, first served. Where ``max_waiting`` wait already, a further one is answered
503 with ``Retry-After`` at once, its body unread: the queue, and the memory of its bodies, have a bound.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from dnapair import __version__
from dnapair.checks.drift import Watch
from dnapair.data.pair_columns import USUAL_PAIR, request_pairs
from dnapair.errors import DnapairError
from dnapair.machine.memory import return_freed_arrays
from dnapair.machine.processor import cores
from dnapair.params import Serve, find_params
from dnapair.registry.version_tags import DATA_TAG, ENCODER_TAG, FRAMEWORK_TAG
from dnapair.serving import openapi
from dnapair.serving.protocol import Limits, RefusedError, read_pairs, too_large, write_scores

if TYPE_CHECKING:
    from dnapair.scoring.scorer import PairScorer

BODY_SECONDS = 30
"""How long a body may take to arrive."""
RETRY_SECONDS = 1
"""What a client that finds the queue full is told to wait."""
GRACE_SECONDS = 30
"""How long a server that is told to stop lets requests end."""
IDLE_SECONDS = 75
"""How long a connection may be idle: longer than common proxies keep theirs."""
WARM_BASES = 500
"""Length of the sequences that are scored before the server is ready."""
_DRAINED_BYTES = 16 * 10**6
_UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"
_CLOSE = {"Connection": "close"}


class Served(NamedTuple):
    """A model to serve.

    Attributes
    ----------
    scorer
        The model.
    metadata
        What ``GET /metadata`` answers beside the limits and the watched input.
    """

    scorer: "PairScorer"
    metadata: Mapping[str, Any]


class Server:
    """The routes; 503 from all that need the model until :meth:`open`.

    Parameters
    ----------
    settings
        What a request may ask, and how many may wait.
    threads
        How many requests are scored at a time.

    Attributes
    ----------
    app : FastAPI
        For any ASGI server, one process.
    """

    def __init__(self, settings: Serve, threads: int) -> None:
        self._settings = settings
        self._limits = Limits(
            settings.max_pairs,
            settings.max_bases,
            settings.max_comparisons,
            int(settings.max_megabytes * 10**6),
        )
        self._served: Served | None = None
        self._most = threads + settings.max_waiting
        self._inside = 0
        self._turn = asyncio.Semaphore(threads)
        # of its own: asyncio's would use more threads, each with memory that it keeps
        self._threads = ThreadPoolExecutor(threads, "scoring")
        self.app = FastAPI(title="dnapair", version=__version__, docs_url=None, redoc_url=None)
        self.app.add_exception_handler(RefusedError, _refused)
        for path in ("/ping", "/health"):
            self.app.get(path, response_model=openapi.Ready, responses=openapi.LOADING)(self._ping)
        self.app.get("/version", response_model=str)(self._version)
        self.app.get("/metadata", response_model=dict[str, Any], responses=openapi.LOADING)(self._metadata)
        self.app.post(
            "/invocations",
            response_model=openapi.Scores,
            responses=openapi.NOT_SCORED,
            openapi_extra=openapi.BODY,
        )(self._invocations)
        self.app.openapi()["components"]["schemas"].update(openapi.BODY_SCHEMAS)

    def open(self, served: Served) -> None:
        """Score a pair of usual length, so that no client waits for what is done once; then let all in."""
        letters = random.Random(1)  # noqa: S311 - not a secret
        seq1, seq2 = ("".join(letters.choices("ACGT", k=WARM_BASES)) for _ in range(2))
        served.scorer.score([seq1], [seq2])
        if served.scorer.reference is not None:
            served.scorer.watch = Watch(served.scorer.reference)
        schemas = self.app.openapi()["components"]["schemas"]
        openapi.add_names(schemas, request_pairs(served.scorer.settings.columns))
        self._served = served

    def _ready(self) -> Served:
        if self._served is None:
            raise RefusedError("The model is still being loaded.", 503, _UNAVAILABLE)
        return self._served

    async def _ping(self) -> Response:
        """Say that the model is loaded and warm."""
        self._ready()
        return JSONResponse({"status": "ready"})

    async def _version(self) -> Response:
        """Name MLflow's version."""
        return Response(version("mlflow"), media_type="application/json")

    async def _metadata(self) -> Response:
        """Say which model is served, with its limits, and how far the input is from its train sequences."""
        served = self._ready()
        watch = served.scorer.watch
        seen = watch.report() if watch else None
        return JSONResponse({**served.metadata, "limits": self._settings.model_dump(), "input": seen})

    async def _invocations(self, request: Request) -> Response:
        """Score pairs of raw DNA."""
        scorer = self._ready().scorer
        if self._inside >= self._most:
            raise RefusedError(
                f"{self._settings.max_waiting} requests wait already (serve.max_waiting). Try again later.",
                503,
                _UNAVAILABLE,
            )
        self._inside += 1
        try:
            body = await self._body(request)
            waits = self._turn.locked()
            async with self._turn:
                if waits and await request.is_disconnected():
                    raise ClientDisconnect
                content_type = request.headers.get("content-type")
                answer = await asyncio.get_running_loop().run_in_executor(
                    self._threads, _score, scorer, body, content_type, self._limits
                )
        except ClientDisconnect:
            # nobody hears it
            return Response(status_code=400)
        finally:
            self._inside -= 1
        return Response(answer, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        """Read a body, and keep no more of it than the limit."""
        most = self._limits.max_bytes
        declared = request.headers.get("content-length", "0")
        if int(declared) > most + _DRAINED_BYTES or (int(declared) > most and "expect" in request.headers):
            raise too_large(self._limits)
        kept, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size <= most:
                        kept.append(part)
                    elif size > most + _DRAINED_BYTES:
                        break
        except TimeoutError:
            raise RefusedError(
                f"The body took more than {BODY_SECONDS} seconds to arrive.", 408, "BAD_REQUEST"
            ) from None
        # read to its end where that is not far: a client that is still sending would not see the answer
        if size > most:
            raise too_large(self._limits)
        return b"".join(kept)


def _score(scorer: "PairScorer", body: bytes, content_type: str | None, limits: Limits) -> bytes:
    pairs = read_pairs(body, content_type, limits, scorer.settings.columns)
    try:
        scores = scorer.score(pairs.seq1, pairs.seq2, columns=pairs.columns, threshold=pairs.threshold)
    except DnapairError as error:
        raise RefusedError(str(error)) from None
    return write_scores(scores.probability, scores.label)


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    headers = {503: {"Retry-After": str(RETRY_SECONDS)}, 413: _CLOSE, 408: _CLOSE}.get(error.status)
    return JSONResponse({"error_code": error.code, "message": str(error)}, error.status, headers)


def load(model: str) -> Served:
    """Load a model from the registry, once, and what is known of it.

    Parameters
    ----------
    model
        Any address that MLflow knows. Where it has an alias, the version that carries it now is served
        until the server ends.

    Raises
    ------
    DnapairError
        If there is no such model, or it is not one of dnapair's.
    """
    # PyTorch takes seconds, in which the server listens already
    from dnapair.registry.loading import load_model

    loaded = load_model(model)
    facts = {
        "name": loaded.name,
        "version": loaded.version,
        "alias": loaded.alias,
        "framework": loaded.tags.get(FRAMEWORK_TAG),
        "encoder": loaded.tags.get(ENCODER_TAG),
        "k": loaded.scorer.k,
        "threshold": loaded.scorer.settings.threshold,
        "columns": [*request_pairs(loaded.scorer.settings.columns), USUAL_PAIR],
        "dataset_sha256": loaded.tags.get(DATA_TAG),
    }
    return Served(loaded.scorer, facts)


def read_settings(**given: float | None) -> Serve:
    """Return the section ``serve`` of the project's params.yaml, or the defaults where there is none.

    Parameters
    ----------
    given
        Settings that go before those; None for what was not given.

    Raises
    ------
    DnapairError
        If params.yaml is not right.
    """
    params = find_params()
    settings = params.serve if params else Serve()
    return settings.model_copy(update={key: value for key, value in given.items() if value is not None})


def serve(model: str, host: str, port: int, settings: Serve) -> None:
    """Serve a model until told to stop (SIGINT, SIGTERM): requests that are inside are answered first.

    Parameters
    ----------
    model
        Any address that MLflow knows.
    host
        Address to listen on.
    port
        0 for a free one, which is printed.
    settings
        What a request may ask.

    Raises
    ------
    DnapairError
        If the port can't be had, or the model can't be loaded.
    """
    return_freed_arrays()
    listening = _listen(host, port)
    server = Server(settings, cores())
    config = uvicorn.Config(
        server.app,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    running = uvicorn.Server(config)
    failures: list[Exception] = []

    def prepare() -> None:
        try:
            served = load(model)
            server.open(served)
        except Exception as error:
            failures.append(error)
            running.should_exit = True
        else:
            told = (name for name, value in served.metadata.items() if value and name != "columns")
            facts = ", ".join(f"{name} {served.metadata[name]}" for name in told)
            print(f"dnapair serve: ready: {facts}", flush=True)

    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    print(f"dnapair serve: {address} is loading {model}", flush=True)
    # a daemon: a server that is told to stop does not wait for it
    threading.Thread(target=prepare, daemon=True).start()
    running.run([listening])
    if failures:
        raise failures[0]


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except (OSError, UnicodeError) as error:
        raise DnapairError(
            f"Nothing can listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}. "
            "Give another --port or --host, or end what uses it."
        ) from None
    # its connections inherit it; without, an answer's body waits 40 ms for the client to confirm the headers
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
