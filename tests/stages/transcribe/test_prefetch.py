from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stages.transcribe.prefetch import prefetched


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(prefetched(str, range(5))) == ["0", "1", "2", "3", "4"]
    assert list(prefetched(str, [])) == []


def test_the_next_item_is_worked_on_while_the_result_before_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def work(item: int) -> int:
        begun[item].set()
        return item

    for result in prefetched(work, range(2)):
        assert begun[min(result + 1, 1)].wait(timeout=10)


def test_items_are_taken_only_as_they_are_due() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(5):
            taken.append(item)
            yield item

    results = prefetched(str, items())
    next(results)
    assert taken == [0, 1]


def test_an_error_is_raised_where_its_result_would_come() -> None:
    results = prefetched(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
