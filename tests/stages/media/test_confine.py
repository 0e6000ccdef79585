"""Children are kept from other files and from the network, where the kernel offers that."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from stages.media.forkserver import OWN_PATH
from stages.media.sandbox import ChildFailed, Limits, Program, child

LIMITS = Limits(seconds=60.0, memory=2**33)

if sys.platform != "linux":
    pytest.skip("only Linux has what confines a child", allow_module_level=True)


def said(*behaviour: str, own: Path | None = None) -> str:
    """What a program of ours prints."""
    with child(Program("tests.stages.media.misbehaving", behaviour, own), LIMITS) as output:
        return output.read().decode()


def landlock() -> bool:
    import landlockpy

    return landlockpy.supported()


def seccomp() -> bool:
    import seccompy

    return seccompy.supported()


needs_landlock = pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(not seccomp(), reason="this kernel has no seccomp filters")


@needs_landlock
@pytest.mark.parametrize("behaviour", ["read", "write", "execute"])
def test_a_child_gets_at_no_other_file(tmp_path: Path, behaviour: str) -> None:
    secret, own = tmp_path / "secret", tmp_path / "own"
    secret.write_text("#!/bin/sh\necho secret\n")
    secret.chmod(0o755)
    own.write_text("own")
    target = tmp_path / "new" if behaviour == "write" else secret
    assert said(behaviour, str(target), own=own) == "PermissionError"
    assert not (tmp_path / "new").exists()


def test_a_child_reads_its_own_file_also_when_another_has_taken_its_place(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text("own")
    other.write_text("other")
    with own.open("rb") as held:
        other.replace(own)
        assert said("read", OWN_PATH, own=Path(f"/dev/fd/{held.fileno()}")) == "own"


PROGRAM = """
from pathlib import Path

def run(other):
    from elsewhere import later
    try:
        print(later.WORD, Path(other).read_text())
    except PermissionError:
        print(later.WORD, "refused")
"""


@needs_landlock
@pytest.mark.parametrize("way", ["path", "PYTHONPATH"])
def test_packages_of_another_folder_load_their_modules_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    package, other = tmp_path / "elsewhere", tmp_path / "other"
    package.mkdir()
    other.write_text("secret")
    (package / "__init__.py").write_text("")
    (package / "later.py").write_text("WORD = 'loaded'")
    (package / "program.py").write_text(PROGRAM)
    if way == "path":
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with child(Program("elsewhere.program", (str(other),)), LIMITS) as output:
        assert output.read() == b"loaded refused\n"


@needs_landlock
def test_a_program_gets_at_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    program = Program("/bin/cat", (str(secret),))
    with pytest.raises(ChildFailed, match="Permission denied"), child(program, LIMITS) as output:
        assert output.read() == b""


def test_a_program_reads_its_own_file(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("own")
    with child(Program("/bin/cat", (OWN_PATH,), own), LIMITS) as output:
        assert output.read() == b"own"


@needs_seccomp
def test_a_child_reaches_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert said("connect", str(server.getsockname()[1])) == "PermissionError"


@needs_landlock
def test_a_child_cannot_end_another_process() -> None:
    assert said("kill", str(os.getpid())) == "PermissionError"


def test_a_child_does_not_inherit_the_keys_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONHASHSEED", "7")  # another environment, so another server
    names = json.loads(said("environment"))
    assert "AWS_SECRET_ACCESS_KEY" not in names
    assert "PATH" in names


def test_a_child_cannot_fill_the_disk_with_messages() -> None:
    assert said("flood") == "OSError"
