"""Records of failed attempts at units, from which a failure is attributed to the machine or to a video.

Each attempt has a file while it is made; a finished unit has none. A typed failure of a stage becomes the video's row
and is not recorded here. Any other failure is first attributed to the machine: the unit is retried, on another worker
if there is one. After two attempts the videos of the part are processed one by one, and the attempt names the current
one. Only a video during which several attempts failed is given up, with a retryable error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import secrets
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TextIO

from pydantic import BaseModel, ValidationError

from pipeline.store import ATTEMPTS
from schemas.row import RowError
from stages.base import OF_THE_MACHINE
from stages.media.sandbox import ChildKilled
from storyloom.fs.files import Files
from storyloom.fs.url import without_secrets

UNSUSPICIOUS = 2
"""Failed attempts at a part after which its videos are processed one by one (our choice): machines fail."""

ENOUGH = 8
"""Total evidence at which a video is given up (our choice)."""

CRASHED, RAISED, UNPROVEN, KILLED, MACHINE = 4, 4, 2, 1, 0
"""Evidence of one attempt against the current video: a crash of native code; an exception in a process that had
finished other work; the same in one that had not; a killed process, which may be the kernel's out-of-memory killer;
and faults of the machine alone. So two crashes are enough, and six preempted machines are not."""

SETUP = "setup."
"""Beginning of the name of a note that a process sets a stage up; the rest is the process's name."""

Doing = Literal["setup", "work"]
"""What a stage does: its workers set it up, or some work on units."""

DEVICE_ERROR = re.compile(r"CUDA|cuDNN|CUBLAS|NVML|NCCL|HIP error|device-side assert|Accelerator", re.IGNORECASE)
"""Matches messages of torch, CTranslate2 and onnxruntime about a failed device."""

MESSAGE_KEPT = 1000
"""Characters of an exception's message that are kept."""


class Attempt(BaseModel):
    """One attempt at a unit.

    Attributes:
        worker: Host and process that made it, and how often the process had set up its stage.
        alone: Whether the videos were processed one by one.
        video: Key of the current video; empty when that is unknown.
        passed: Keys of the videos that it finished, one by one; earlier evidence against them is void.
        message: The exception; empty while the attempt is running and for a process that died.
        evidence: Against the current video; see `CRASHED` and the others.
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
        files: The work folder's.
        folder: Of the attempts at units of the unit's stage; each one's file is named by its unit.
        unit: The unit's id.
    """

    def __init__(self, files: Files, folder: str, unit: str) -> None:
        self._files = files
        self._folder = folder
        self._of_unit = f"{folder}/{unit}."
        self._file = f"{self._of_unit}{secrets.token_hex(8)}.json"
        self._seen: set[str] = set()
        self._attempt: Attempt | None = None
        self._withdrawn = False
        self._lock = Lock()

    def ended(self) -> list[Attempt]:
        """The failed attempts, oldest first; one whose process died counts as crashed or killed."""
        entries = [one for one in self._files.entries(self._folder) if one.name.startswith(self._of_unit)]
        names = [one.name for one in sorted(entries, key=lambda one: (one.modified, one.name))]
        names = [name for name in names if name != self._file]  # the running attempt
        self._seen.update(names)
        found = []
        for content in self._files.read_all(names):
            try:
                attempt = Attempt.model_validate_json(content or b"")
            except ValidationError:  # removed since, or cut short by a full disk
                continue
            if attempt.message:
                found.append(attempt)
            elif not _alive(attempt.worker):
                crash = _crash_of(traces(self._files), attempt.worker)
                update = {"message": crash or "its process was killed", "evidence": CRASHED if crash else KILLED}
                found.append(attempt.model_copy(update=update))
        return found

    def begin(self, attempt: Attempt) -> None:
        """Record the start of an attempt."""
        self._attempt = attempt
        self._write()

    def isolate(self) -> None:
        """Record that the videos are processed one by one."""
        self._update(alone=True)

    def in_hand(self, video: str) -> None:
        """Record the video that is processed now."""
        self._update(video=video)

    def passed(self) -> None:
        """Record that the current video was finished."""
        assert self._attempt is not None
        self._update(video="", passed=(*self._attempt.passed, self._attempt.video))

    def fail(self, reason: BaseException, *, proven: bool) -> Attempt:
        """Record the failure of the attempt; `proven` is whether this process has finished other units of the stage."""
        message = without_secrets(f"{type(reason).__name__}: {reason}")[:MESSAGE_KEPT]
        assert self._attempt is not None
        proven = proven or bool(self._attempt.passed)
        try:
            return self._update(message=message, evidence=evidence(reason, proven=proven))
        except OSError:  # a full disk; without a record the attempt is no evidence
            self.withdraw()
            return self._attempt

    def withdraw(self) -> None:
        """Remove the attempt for good: it was interrupted on purpose, or will be."""
        with self._lock:
            self._withdrawn = True
            self._files.remove(self._file)

    def clear(self) -> None:
        """Remove all attempts that are known: the unit is finished."""
        for name in (self._file, *self._seen):
            self._files.remove(name)

    def _update(self, **fields: Any) -> Attempt:
        assert self._attempt is not None
        self._attempt = self._attempt.model_copy(update=fields)
        self._write()
        return self._attempt

    def _write(self) -> None:
        assert self._attempt is not None
        with self._lock:
            if not self._withdrawn:  # not durably: a power cut is not a video's fault
                self._files.replace(self._file, self._attempt.model_dump_json().encode(), durably=False)


def one_by_one(ended: Sequence[Attempt]) -> bool:
    """Whether the videos of a part are to be processed one by one: attempts of different workers failed."""
    return len(ended) >= UNSUSPICIOUS and len({attempt.worker for attempt in ended}) > 1


def given_up(stage: str, ended: Iterable[Attempt]) -> dict[str, RowError]:
    """The videos with enough evidence from different workers, by key, with the error of their row."""
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
    """The evidence of an exception against the current video."""
    if isinstance(reason, ChildKilled | MemoryError):
        return KILLED
    if isinstance(reason, OSError) or of_device(reason):
        return MACHINE
    return RAISED if proven else UNPROVEN


def of_device(reason: BaseException) -> bool:
    """Whether a device failed: its memory is lost, so the process must end."""
    return isinstance(reason, RuntimeError) and bool(DEVICE_ERROR.search(f"{type(reason).__name__} {reason}"))


def of_the_machine(reason: BaseException) -> bool:
    """Whether every attempt on this machine would fail: a full or broken disk."""
    return isinstance(reason, OSError) and reason.errno in OF_THE_MACHINE


def traces(files: Files) -> Path:
    """The folder of the processes' crash traces: of all machines where they share a disk, else of this one."""
    return files.folder_here(f"{ATTEMPTS}/processes")


def note_crashes(files: Files) -> None:
    """Record later crashes of this process in native code."""
    folder = traces(files)
    if str(folder) in _noting:
        return
    folder.mkdir(parents=True, exist_ok=True)
    _noting[str(folder)] = file = (folder / f"{worker_name()}.trace").open("w")
    faulthandler.enable(file, all_threads=False)


_noting: dict[str, TextIO] = {}
"""Trace files by folder, open as long as the process lives: faulthandler writes to them from a signal handler."""


@contextlib.contextmanager
def setting_up(files: Files, folder: str) -> Iterator[None]:
    """Leave a note in the folder of a stage's attempts while this process sets the stage up."""
    note = f"{folder}/{SETUP}{worker_name()}"
    with contextlib.suppress(OSError):  # a full disk: the note is only shown
        files.replace(note, b"", durably=False)
    try:
        yield
    finally:
        files.remove(note)


def doing(files: Files, keys: Mapping[str, str]) -> dict[str, Doing]:
    """What the stages do at this moment, by name, on whatever machine; those that do nothing are left out.

    Args:
        files: The work folder's.
        keys: The stages' keys.
    """
    notes: dict[str, list[bool]] = defaultdict(list)
    with contextlib.suppress(OSError):
        for one in files.tree(ATTEMPTS):  # one request to a store, which is asked each second
            notes[one.name.rpartition("/")[0]].append(_is_setup(one.name))
    there = {name: notes.get(f"{ATTEMPTS}/{name}/{key}", []) for name, key in keys.items()}
    return {name: "setup" if all(some) else "work" for name, some in there.items() if some}


def remove_notes(files: Files) -> None:
    """Remove the notes that killed processes left."""
    for note in files.tree(ATTEMPTS):
        if _is_setup(note.name) and not _alive(note.name.rpartition("/")[2].removeprefix(SETUP)):
            files.remove(note.name)


def remove_empty_traces(files: Files) -> None:
    """Remove the crash traces of processes that ended without a crash."""
    for file in traces(files).glob("*.trace"):
        if file.is_file() and not file.stat().st_size and not _alive(file.stem):
            file.unlink(missing_ok=True)


def _is_setup(name: str) -> bool:
    return name.rpartition("/")[2].startswith(SETUP)


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
    """The first line of a process's crash trace; empty when it did not crash."""
    host, process, *_ = worker.rsplit("#", 1)[0].rsplit(".", 1)
    try:
        trace = (folder / f"{host}.{process}.trace").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return trace.partition("\n")[0]


def _alive(worker: str) -> bool:
    """Whether a process of this machine is alive; a process of another machine is unknown and counts as dead."""
    host, _, process = worker.partition("#")[0].rpartition(".")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()
