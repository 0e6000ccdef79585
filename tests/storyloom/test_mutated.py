"""A few of the fuzz's mutated datasets; one that the fuzz finds something in comes here, too."""

import pytest

from tests.fuzz.datasets import OPERATIONS, Case, check
from tests.storyloom.validate.damage import SHARD


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_mutated_dataset_ends_in_a_result_or_one_sentence(operation: str) -> None:
    check(Case("manifest.json" if operation == "json" else SHARD, operation, 7))
