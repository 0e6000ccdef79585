"""What the command prints and writes, and its exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from storyloom.format.tar import member
from storyloom.validate.dataset import validate_dataset
from storyloom.validate.report import as_junit
from storyloom.validate.rules import RULES
from storyloom.validate.spread import in_this_process
from storyloom.validate.violation import PER_RULE
from tests.runs import ROOT
from tests.storyloom.validate.damage import SHARD, edit_document, edit_header, first_key, members, reseal, write_raw

PAGE = ROOT / "docs" / "validate.md"


def storyloom(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "validate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)


def test_a_good_dataset_ends_with_0_and_a_line(good: Path) -> None:
    result = storyloom(good)
    assert (result.returncode, result.stderr) == (0, "")
    assert (
        result.stdout
        == "3 shards, 12 documents, 24 images, 81,920 bytes read; images not decoded (--deep does): all fine\n"
    )


def test_a_violation_is_a_line_with_shard_key_and_rule_and_ends_with_1(out: Path, tmp_path: Path) -> None:
    key = edit_document(out, lambda d: d.update(title="[bold]" + "x" * 300, more=1))
    junit = tmp_path / "junit.xml"
    result = storyloom(out, "--workers", 1, "--deep", "--junit", junit)
    assert (result.returncode, result.stderr) == (1, "")
    line, last = result.stdout.splitlines()
    assert line == f"{SHARD}  {key}  unknown_key: more: Extra inputs are not permitted"
    assert last == "3 shards, 12 documents, 24 images, 81,920 bytes read; every image decoded: 1 violation"
    assert ET.parse(junit).getroot().get("failures") == "1"


def test_json_holds_every_violation(out: Path) -> None:
    key = edit_document(out, lambda d: d.update(title=None))
    (out / "croissant.json").unlink()
    result = storyloom(out, "--json", "--workers", 1)
    value = json.loads(result.stdout)
    assert result.returncode == 1
    assert (value["shards"], value["documents"], value["nviolations"], value["omitted"]) == (3, 12, 2, {})
    assert [(one["file"], one["key"], one["rule"]) for one in value["violations"]] == [
        (SHARD, key, "null_scalar"),
        ("croissant.json", "", "missing_file"),
    ]


def test_wrong_usage_ends_with_2(tmp_path: Path, good: Path) -> None:
    assert storyloom(tmp_path).returncode == 2
    assert "holds no dataset" in storyloom(tmp_path).stderr
    assert storyloom(good, "--workers", 0).returncode == 2
    refused = storyloom(good, "--junit", tmp_path / "no" / "folder.xml")
    assert (refused.returncode, "cannot be written" in refused.stderr) == (2, True)


def test_junit_has_a_case_per_shard_and_index_file(out: Path) -> None:
    key = edit_document(out, lambda d: d.update(title="\x00\x1b & <b>", more=1))
    edit_header(out, slice(100, 108), b"0000644\0")
    (out / "data" / "notes.txt").write_bytes(b"")
    report = validate_dataset(out, spread=in_this_process)
    root = ET.fromstring(as_junit(report))
    (suite,) = root
    cases = {case.get("name"): case for case in suite}
    shards = [name for name in cases if str(name).endswith((".tar", ".idx"))]
    assert len(shards) == 6
    assert {"manifest.json", "wids-val.json", "README.md", ".nv-meta/split.yaml", "data/notes.txt"} <= set(cases)
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), "2")
    assert [name for name, case in cases.items() if len(case)] == [SHARD, "data/notes.txt"]
    (failure,) = cases[SHARD]
    assert failure.get("message") == "2 violations: unknown_key, mode" or "mode" in str(failure.get("message"))
    assert f"{key}  unknown_key: more" in str(failure.text)


def test_the_same_dataset_gives_the_same_report(good: Path) -> None:
    assert as_junit(validate_dataset(good, spread=in_this_process)) == as_junit(
        validate_dataset(good, spread=in_this_process)
    )


def test_a_rule_that_is_broken_everywhere_does_not_flood_the_report(out: Path) -> None:
    key = first_key(out)
    many = [(f"{key}.{n}.txt", b"") for n in range(500)]
    write_raw(out, b"".join(member(*one) for one in [*members(out)[:3], *many, *members(out)[3:]]))
    reseal(out)
    report = validate_dataset(out, spread=in_this_process)
    told = [one for one in report.violations.kept if one.rule == "member_suffix"]
    assert (len(told), report.omitted()[SHARD]) == (PER_RULE, {"member_suffix": 500 - PER_RULE})
    assert f"member_suffix: and {500 - PER_RULE} more" in storyloom(out).stdout


def test_the_page_lists_every_rule_with_its_line() -> None:
    listed = dict(re.findall(r"^\| `([a-z_0-9]+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {rule: line.replace("&#124;", "|") for rule, line in listed.items()} == RULES


def test_every_rule_is_broken_by_a_test() -> None:
    tests = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert [rule for rule in RULES if f'"{rule}"' not in tests] == []
