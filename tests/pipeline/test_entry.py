"""Ctrl-C at any moment of the program's start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.entry import main
from tests.runs import ROOT

PRESSED_AT = """
import os, signal, sys
module = sys.argv[1]
class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.SIG_IGN if sys.argv[2:] else signal.default_int_handler)
sys.meta_path.insert(0, Presses())
from pipeline.entry import main
sys.argv = ["storyloom", "--version"]
main()
"""


def pressed(module: str, *ignored: str) -> subprocess.CompletedProcess[str]:
    """The program with Ctrl-C pressed as it imports a module."""
    command = [sys.executable, "-c", PRESSED_AT, module, *ignored]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", ["typer", "storyloom.errors"])
def test_ctrl_c_while_the_program_is_loaded_leaves_no_traceback(module: str) -> None:
    ended = pressed(module)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_program_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    assert pressed("typer", "ignored").returncode == 0


def test_ctrl_c_before_a_command_takes_it_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.cli.main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
