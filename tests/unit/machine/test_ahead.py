import threading

import pytest

from dnapair.machine.ahead import map_ahead
from tests.waiting import PATIENCE


def test_results_come_in_order_and_one_is_made_ahead():
    made = [threading.Event() for _ in range(4)]

    def make(item: int) -> int:
        made[item].set()
        return 10 * item

    results = map_ahead(make, range(4))
    assert next(results) == 0
    # while the first is in use
    assert made[1].wait(PATIENCE)
    assert not made[2].is_set()
    assert list(results) == [10, 20, 30]


def test_nothing_gives_nothing():
    assert list(map_ahead(str, [])) == []


def test_what_making_raises_arrives():
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda item: 1 // item, [1, 0]))
