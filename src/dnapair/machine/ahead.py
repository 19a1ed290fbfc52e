"""Work done in the background, one piece ahead."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield what is made of each item, in order, and make the next one while this one is in use."""
    with ThreadPoolExecutor(1) as background:
        ready: Future[Result] | None = None
        for item in items:
            ready, last = background.submit(make, item), ready
            if last is not None:
                yield last.result()
        if ready is not None:
            yield ready.result()
