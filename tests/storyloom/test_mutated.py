"""A few of the fuzz's mutated datasets, and every one that it found something in."""

import pytest

from tests.fuzz.datasets import OPERATIONS, Case, check
from tests.storyloom.validate.damage import SHARD

FOUND: list[Case] = []
"""Cases that failed once, as the fuzz prints them."""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_mutated_dataset_ends_in_a_result_or_one_sentence(operation: str) -> None:
    check(Case("manifest.json" if operation == "json" else SHARD, operation, 7))


def test_what_the_fuzz_found_stays_mended() -> None:
    for case in FOUND:
        check(case)
