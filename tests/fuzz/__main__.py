"""The driver: every kind in a process of its own, for an equal share of the time."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

CASE_SECONDS = 60
"""A case that takes longer hangs."""

HERE = Path(__file__).parent

FOUND = Path("out/fuzz")
"""Folder of the cases that failed, and of the one that is being run: it is what is left of an interpreter that dies."""


def main() -> int:
    """Run the kinds; 1 when a case failed."""
    kinds = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(kinds)}; all when left out")
    given = parser.parse_args()
    wanted = given.kinds or kinds
    if unknown := set(wanted) - set(kinds):
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(kinds)}")
    if len(wanted) == 1:
        return fuzz(wanted[0], given.seconds, given.seed)
    return max([_in_a_process(kind, given.seconds / len(wanted), given.seed) for kind in wanted], default=0)


def fuzz(kind: str, seconds: float, seed: int) -> int:
    """Check cases of one kind for some seconds; 1 when one failed. A failed case is written to `FOUND`."""
    module = importlib.import_module(f"tests.fuzz.{kind}")
    FOUND.mkdir(parents=True, exist_ok=True)
    running = FOUND / f"{kind}-{seed}-running.txt"
    signal.signal(signal.SIGALRM, _hangs)
    end = time.monotonic() + seconds
    failed = number = 0
    cases: Iterator[object] = module.cases(random.Random(f"{kind} {seed}"))
    for number, case in enumerate(cases, 1):
        running.write_text(repr(case), encoding="utf-8", errors="backslashreplace")
        faulthandler.dump_traceback_later(2 * CASE_SECONDS, exit=True)  # where the alarm is not heard, in a library
        signal.alarm(CASE_SECONDS)
        try:
            module.check(case)
        except Exception:  # noqa: BLE001 - any exception is a finding
            failed += 1
            report = FOUND / f"{kind}-{seed}-{number}.txt"
            report.write_text(f"{case!r}\n\n{traceback.format_exc()}", encoding="utf-8", errors="backslashreplace")
            print(f"{kind} {number}: {repr(case)[:300]}\n{traceback.format_exc()}", flush=True)
        finally:
            signal.alarm(0)
        if time.monotonic() > end:
            break
    faulthandler.cancel_dump_traceback_later()
    running.unlink(missing_ok=True)
    print(f"{kind}: seed {seed}, {number} cases, {failed} failed", flush=True)
    return int(failed > 0)


def _in_a_process(kind: str, seconds: float, seed: int) -> int:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz", f"--seconds={seconds}", f"--seed={seed}", kind]
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 1):
        print(f"{kind}: its process ended with {code} over the case in {FOUND}/{kind}-{seed}-running.txt", flush=True)
    return int(code != 0)


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"it takes over {CASE_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
