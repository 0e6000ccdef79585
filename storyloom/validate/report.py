"""The report of `storyloom validate`: for people, as JSON, and as JUnit XML."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from storyloom.errors import printable
from storyloom.validate.rules import RULES
from storyloom.validate.violation import Violation, Violations
from storyloom.view.counts import count_of

OnShard = Callable[[int, int], None]
"""Called after each shard with the number of shards done and their total."""


@dataclass(frozen=True)
class ValidationReport:
    """The outcome for a dataset.

    Attributes:
        dataset: Its folder or URL.
        deep: Whether images were decoded.
        shards: How many are there.
        documents: In the shards that could be read.
        images: In the shards that could be read.
        bytes_read: Of those shards.
        files: Paths within the dataset of all checked files, shards first.
        violations: The broken rules.
    """

    dataset: str
    deep: bool
    shards: int
    documents: int
    images: int
    bytes_read: int
    files: list[str]
    violations: Violations

    def by_file(self) -> dict[str, list[Violation]]:
        """The violations of each file, in the order of the files."""
        found: dict[str, list[Violation]] = {printable(file): [] for file in self.files}
        for violation in self.violations.kept:
            found[violation.file].append(violation)
        return found

    def omitted(self) -> dict[str, dict[str, int]]:
        """The number of violations that were counted but not kept, by file and rule."""
        kept = Violations()
        for one in self.violations.kept:
            kept.counts[one.file, one.rule] += 1
        found: dict[str, dict[str, int]] = {}
        for (file, rule), count in self.violations.counts.items():
            if more := count - kept.counts[printable(file), rule]:
                found.setdefault(printable(file), {})[rule] = more
        return found

    def summary(self) -> str:
        """The last line for a person."""
        counted = {"shards": self.shards, "documents": self.documents, "images": self.images}
        amount = ", ".join(count_of(number, noun) for noun, number in counted.items())
        read = f"{self.bytes_read:,} bytes read"
        how = "every image decoded" if self.deep else "images not decoded (--deep does)"
        found = count_of(self.violations.total, "violations") if self.violations.total else "all fine"
        return f"{amount}, {read}; {how}: {found}"


def print_report(report: ValidationReport, console: Console) -> None:
    """A line per violation: file, key, rule and message; then the sum."""
    omitted = report.omitted()
    for file, violations in report.by_file().items():
        for one in violations:
            line = Text.assemble(
                (one.file, "bold"), "  ", (one.key or "-", "cyan"), "  ", (one.rule, "red"), ": ", one.message
            )
            console.print(line, soft_wrap=True)
        for rule, more in omitted.get(file, {}).items():
            console.print(Text.assemble((file, "bold"), "  -  ", (rule, "red"), f": and {more} more"), soft_wrap=True)
    console.print(Text(report.summary(), "red" if report.violations.total else "green"), soft_wrap=True)


@contextlib.contextmanager
def progress() -> Iterator[OnShard]:
    """A transient progress bar of shards on a terminal's standard error; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("shards", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def as_json(report: ValidationReport) -> str:
    """The report for programs."""
    by_file = report.by_file()
    value = {
        "dataset": report.dataset,
        "deep": report.deep,
        "shards": report.shards,
        "documents": report.documents,
        "images": report.images,
        "bytes_read": report.bytes_read,
        "nviolations": report.violations.total,
        "violations": [asdict(one) for violations in by_file.values() for one in violations],
        "omitted": report.omitted(),
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def as_junit(report: ValidationReport) -> bytes:
    """JUnit XML: a test case per file, with one failure that lists its violations."""
    by_file, omitted = report.by_file(), report.omitted()
    failures = sum(bool(violations) for violations in by_file.values())
    sums = {"tests": str(len(by_file)), "failures": str(failures), "errors": "0", "skipped": "0", "time": "0"}
    root = ET.Element("testsuites", {"name": "storyloom validate", **sums})
    suite = ET.SubElement(root, "testsuite", {"name": printable(report.dataset), **sums})
    for file, violations in by_file.items():
        case = ET.SubElement(
            suite, "testcase", {"classname": "storyloom.validate", "name": file, "file": file, "time": "0"}
        )
        if violations:
            _failure(case, violations, omitted.get(file, {}))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _failure(case: ET.Element, violations: list[Violation], omitted: dict[str, int]) -> None:
    rules = dict.fromkeys(one.rule for one in violations)
    message = f"{count_of(len(violations) + sum(omitted.values()), 'violations')}: {', '.join(rules)}"
    failure = ET.SubElement(case, "failure", {"type": next(iter(rules)), "message": message})
    failure.text = "\n".join(_lines(violations, omitted))


def _lines(violations: list[Violation], omitted: dict[str, int]) -> Iterator[str]:
    for one in violations:
        yield f"{one.key or '-'}  {one.rule}: {one.message}"
    for rule, more in omitted.items():
        yield f"-  {rule}: and {more} more"
    for rule in dict.fromkeys(one.rule for one in violations):
        yield f"{rule}: {RULES[rule]}"
