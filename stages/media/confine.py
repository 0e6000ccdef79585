"""What the children that read media may not do, by what the kernel offers: open another file, use a network.

``python -m stages.media.confine`` tries both in a child, and says what is in force on this machine. Linux has Landlock
(5.13 and newer) for files and seccomp for the network; where one is missing, or switched off, a child runs without it.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

NETWORK = ("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "io_uring_setup")
"""System calls to a network, and one that makes them in their place."""

OTHERS = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "open_by_handle_at",
    "unshare",
    "setns",
    "bpf",
)
"""System calls by which a process gets at others, or round its own bounds."""

X32 = 0x4000_0000
"""Bit of the numbers by which x86_64 has the same system calls once more."""

LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
)
"""Where a program finds its shared libraries, beside `LD_LIBRARY_PATH` and the folder ``lib`` of its installation."""

PYTHON = tuple(
    {
        place
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if Path(place := sysconfig.get_path(name)).is_dir()
    }
)
"""Where Python finds its own modules and installed ones, of which some are loaded when they are first used. Packages
may lie elsewhere too: see `_packages`."""


def refuse_network() -> None:
    """Take the network, and what belongs to other processes, from this process and those that it starts."""
    if sys.platform != "linux":
        return
    import landlockpy
    import seccompy

    landlockpy.supported()  # finds the C library, which takes 8 ms, once for all children
    rules = seccompy.Filter(default=seccompy.Action.ALLOW)
    for name in (*NETWORK, *OTHERS):
        number = seccompy.syscall_nr(name)
        for one in (number, number | X32) if platform.machine() == "x86_64" else (number,):
            rules.errno(one, 1)  # EPERM
    rules.load()


def refuse_files(own: str, program: str = "") -> None:
    """Take all files from this process but one that it may read, and the signals to others.

    Args:
        own: Path of its own file; empty for none.
        program: Path of a program that it may become, with the libraries that it needs; empty for none.
    """
    if sys.platform != "linux":
        return
    from landlockpy import AccessFS, Ruleset, Scope

    read = AccessFS.READ_FILE
    with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
        if own:
            rules.allow_path(own, read)
        if program:
            rules.allow_path(program, read | AccessFS.EXECUTE)
            for place in _libraries(Path(program)):
                rules.allow_path(place, read | AccessFS.EXECUTE)
        else:
            for place in (*PYTHON, *_packages()):
                rules.allow_path(place, read | AccessFS.READ_DIR)
        rules.restrict()


def _packages() -> list[str]:
    """The folders of the packages that are loaded, and of the libraries beside them, as wheels have them.

    The folders that they lie in are not among them: they may hold anything, such as the videos of a work folder.
    """
    loaded = [module for name, module in sys.modules.items() if "." not in name and hasattr(module, "__path__")]
    folders = [Path(module.__file__).parent for module in loaded if module.__file__]
    beside = [folder.with_name(f"{folder.name}.libs") for folder in folders]
    return [str(place) for place in (*folders, *beside) if place.is_dir()]


def _libraries(program: Path) -> list[str]:
    """Where a program may find its libraries."""
    given = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    installed = str(program.resolve().parent.parent / "lib")
    return [place for place in (*LIBRARIES, *given, installed) if place and Path(place).exists()]


def run() -> None:
    """In a child: print what it could do."""
    could = {"files": False, "network": False}
    with suppress(OSError):
        Path(__file__).read_bytes()
        could["files"] = True
    with suppress(OSError):
        socket.socket().close()
        could["network"] = True
    json.dump(could, sys.stdout)


def main() -> None:
    """Print what children are kept from on this machine."""
    from stages.media.sandbox import Limits, Program, child

    with child(Program("stages.media.confine"), Limits(60.0, 4 * 2**30)) as printed:
        said = printed.read()
    could = json.loads(said)
    sys.stdout.write("".join(f"{what}: {'open' if free else 'refused'}\n" for what, free in could.items()))


if __name__ == "__main__":
    main()
