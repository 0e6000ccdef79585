"""Attempts at units that did not end well, and what follows from them: whose fault it was.

Each attempt has a file while it is made; a unit that is finished has none. What a stage says of a video with a typed
failure is a row and no matter of this room. Anything else is first taken for the machine's fault: the unit is tried
again, elsewhere where there is an elsewhere. After two attempts the videos of the part are worked on one by one, and
the attempt names the one in hand. Only a video in whose hands several attempts ended is given up, as retryable.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import re
import secrets
import shutil
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ValidationError

from schemas.row import RowError
from stages.media.sandbox import ChildKilled
from storyloom.fs.atomic import temporary

UNSUSPICIOUS = 2
"""Bad ends of a part after which its videos are worked on one by one (our choice): machines fail."""

ENOUGH = 8
"""Evidence against a video at which it is given up (our choice)."""

CRASHED, RAISED, UNPROVEN, KILLED, MACHINE = 4, 4, 2, 1, 0
"""Evidence of one attempt against the video in hand: a crash of native code; an exception in a process that had
finished other work; the same in one that had not; a process that somebody killed, which may be the kernel for want of
memory; and what is the machine's fault alone. So two crashes are enough, and six preempted machines are not."""

OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM}
)
"""Errors of the operating system that no video causes."""

DEVICE_ERROR = re.compile(r"CUDA|cuDNN|CUBLAS|NVML|NCCL|HIP error|device-side assert|Accelerator", re.IGNORECASE)
"""What messages of torch, CTranslate2 and onnxruntime say when it is the device that failed."""

MESSAGE_KEPT = 1000
"""Characters of an exception's message that are kept."""


class Attempt(BaseModel):
    """One attempt at a unit.

    Attributes:
        worker: Host and process that made it, and how often it had set up its stage.
        alone: Whether the videos were worked on one by one.
        video: Key of the video in hand; empty when that is not known.
        passed: Keys of the videos that were finished in it, one by one; what spoke against them before counts no more.
        message: What was raised; empty while the attempt goes on and for a process that died.
        evidence: Against the video in hand; see `CRASHED` and the others.
    """

    worker: str
    alone: bool = False
    video: str = ""
    passed: tuple[str, ...] = ()
    message: str = ""
    evidence: int = KILLED


class Attempts:
    """The attempts at one unit.

    Args:
        folder: Where their files lie; it is there only while there are some.
        crashes: Folder in which each process notes a crash of its own.
    """

    def __init__(self, folder: Path, crashes: Path) -> None:
        self._folder = folder
        self._crashes = crashes
        self._file = folder / f"{secrets.token_hex(8)}.json"
        self._attempt: Attempt | None = None

    def ended(self) -> list[Attempt]:
        """Those that ended badly, oldest first; one whose process died has a crash or was killed."""
        found = []
        for file in sorted(self._folder.glob("*.json"), key=_age) if self._folder.is_dir() else []:
            if file == self._file:  # the one that is being made
                continue
            try:
                attempt = Attempt.model_validate_json(file.read_bytes())
            except (OSError, ValidationError):  # removed since, or cut short by a full disk
                continue
            if attempt.message:
                found.append(attempt)
            elif not _alive(attempt.worker):
                crash = _crash_of(self._crashes, attempt.worker)
                update = {"message": crash or "its process was killed", "evidence": CRASHED if crash else KILLED}
                found.append(attempt.model_copy(update=update))
        return found

    def begin(self, attempt: Attempt) -> None:
        """Note that an attempt is being made."""
        self._attempt = attempt
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def isolate(self) -> None:
        """Note that the videos are worked on one by one."""
        self._update(alone=True)

    def in_hand(self, video: str) -> None:
        """Note which video is worked on, alone."""
        self._update(video=video)

    def passed(self) -> None:
        """Note that the video in hand was finished."""
        assert self._attempt is not None
        self._update(video="", passed=(*self._attempt.passed, self._attempt.video))

    def fail(self, reason: BaseException, *, proven: bool) -> Attempt:
        """Note how the attempt ended; `proven` is whether this process has finished other work of the stage."""
        message = f"{type(reason).__name__}: {reason}"[:MESSAGE_KEPT]
        assert self._attempt is not None
        proven = proven or bool(self._attempt.passed)
        try:
            return self._update(message=message, evidence=evidence(reason, proven=proven))
        except OSError:  # a full disk takes no note; without one the attempt speaks against nobody
            self.withdraw()
            return self._attempt

    def withdraw(self) -> None:
        """Take the attempt back: it was interrupted on purpose."""
        self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others' attempts are there
            self._folder.rmdir()

    def clear(self) -> None:
        """Forget all attempts: the unit is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _update(self, **fields: Any) -> Attempt:
        assert self._attempt is not None
        self._attempt = self._attempt.model_copy(update=fields)
        self._write()
        return self._attempt

    def _write(self) -> None:
        assert self._attempt is not None
        with contextlib.suppress(FileNotFoundError):  # another worker finished the unit
            unfinished = temporary(self._file)
            unfinished.write_bytes(self._attempt.model_dump_json().encode())
            unfinished.replace(self._file)  # not on disk yet: a power cut is no fault of a video's


def one_by_one(ended: Sequence[Attempt]) -> bool:
    """Whether the videos of a part are worked on one by one: attempts of different workers ended badly."""
    return len(ended) >= UNSUSPICIOUS and len({attempt.worker for attempt in ended}) > 1


def given_up(stage: str, ended: Iterable[Attempt]) -> dict[str, RowError]:
    """The videos that enough attempts of different workers speak against, by key, with the error of their row."""
    against: Counter[str] = Counter()
    last: dict[str, Attempt] = {}
    workers: dict[str, set[str]] = {}
    for attempt in ended:
        for video in attempt.passed:
            against.pop(video, None)
        if attempt.alone and attempt.video:
            against[attempt.video] += attempt.evidence
            last[attempt.video] = attempt
            workers.setdefault(attempt.video, set()).add(attempt.worker)
    return {
        video: _error(stage, last[video]) for video, n in against.items() if n >= ENOUGH and len(workers[video]) > 1
    }


def evidence(reason: BaseException, *, proven: bool) -> int:
    """How much an exception speaks against the video in hand."""
    if isinstance(reason, ChildKilled | MemoryError):
        return KILLED
    if isinstance(reason, OSError) or of_device(reason):
        return MACHINE
    return RAISED if proven else UNPROVEN


def of_device(reason: BaseException) -> bool:
    """Whether a device failed: what lies in its memory is lost, and the process with it."""
    return isinstance(reason, RuntimeError) and bool(DEVICE_ERROR.search(f"{type(reason).__name__} {reason}"))


def of_the_machine(reason: BaseException) -> bool:
    """Whether no other attempt on this machine would end better: a full or broken disk."""
    return isinstance(reason, OSError) and reason.errno in OF_THE_MACHINE


def note_crashes(folder: Path) -> None:
    """From now on, a crash of this process in native code is noted in a folder."""
    if str(folder) in _noting:
        return
    folder.mkdir(parents=True, exist_ok=True)
    _noting[str(folder)] = file = (folder / f"{worker_name()}.trace").open("w")
    faulthandler.enable(file, all_threads=False)


_noting: dict[str, TextIO] = {}
"""Open for as long as the process lives: faulthandler writes there from a signal's handler."""


def remove_empty_traces(folder: Path) -> None:
    """Remove the notes of processes that are gone and did not crash."""
    for file in folder.glob("*.trace") if folder.is_dir() else []:
        if not file.stat().st_size and not _alive(file.stem):
            file.unlink(missing_ok=True)


@cache
def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}.{os.getpid()}"


def _error(stage: str, attempt: Attempt) -> RowError:
    code = "worker_crashed" if attempt.evidence in (CRASHED, KILLED) and not _raised(attempt) else "internal"
    message = f"several workers failed over this video alone, the last with: {attempt.message}; report it with its URL"
    return RowError(stage=stage, code=code, message=message, retryable=True)


def _raised(attempt: Attempt) -> bool:
    return bool(re.match(r"\w+: ", attempt.message))


def _crash_of(folder: Path, worker: str) -> str:
    """The first line that a process wrote when it crashed; empty when it did not."""
    host, process, *_ = worker.rsplit("#", 1)[0].rsplit(".", 1)
    try:
        trace = (folder / f"{host}.{process}.trace").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return trace.partition("\n")[0]


def _alive(worker: str) -> bool:
    """Whether a process of this machine still lives; of another machine that cannot be told, and it counts as dead."""
    host, process = worker.partition("#")[0].rsplit(".", 1)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def _age(file: Path) -> tuple[int, str]:
    try:
        return file.stat().st_mtime_ns, file.name
    except FileNotFoundError:
        return 0, file.name
