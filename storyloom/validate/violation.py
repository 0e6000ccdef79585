"""Violations of rules, and the bound on how many are kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from storyloom.errors import printable
from storyloom.validate.rules import RULES

PER_RULE = 20
"""Violations of one rule in one file that are kept; the others are only counted (our choice)."""


@dataclass(frozen=True)
class Violation:
    """A broken rule.

    Attributes:
        file: Path within the dataset.
        key: The document's key; empty where the rule concerns the file.
        rule: A name of `RULES`.
        message: What is wrong with which value, in printable characters.
    """

    file: str
    key: str
    rule: str
    message: str


@dataclass
class Violations:
    """Violations in the order in which they were found, at most `PER_RULE` of a rule in a file.

    Attributes:
        kept: The violations.
        counts: Number by file and rule, including those that were not kept.
    """

    kept: list[Violation] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, file: str, rule: str, message: str, key: str = "") -> None:
        """Add a violation."""
        assert rule in RULES, rule
        self.counts[file, rule] += 1
        if self.counts[file, rule] <= PER_RULE:
            self.kept.append(Violation(printable(file), printable(key), rule, printable(message)))

    def extend(self, others: Violations) -> None:
        """Add the violations of other files."""
        self.kept += others.kept
        self.counts.update(others.counts)

    @property
    def total(self) -> int:
        """Number of violations, including those that were not kept."""
        return self.counts.total()
