"""Work done in the background, one piece ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(make: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Generator[Result]:
    """Yield what is made of each item, in order, and make the next ones, in threads, while this is in use."""
    with ThreadPoolExecutor(threads) as background:
        made: deque[Future[Result]] = deque()
        try:
            for item in items:
                made.append(background.submit(make, item))
                if len(made) > threads:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()
        finally:
            for future in made:
                future.cancel()
