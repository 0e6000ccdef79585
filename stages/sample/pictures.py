"""Selecting the frames of a video in a child process: see `run`."""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

from stages.media.track import Decoder, Track, opened
from stages.sample.develop import Developer, Shape, ShapeReader, filters
from stages.sample.selector import Candidate, FrameSelector, SelectedFrame
from storyloom.format.model import to_milliseconds

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.filter import Graph
    from av.video.frame import VideoFrame

ItemT = TypeVar("ItemT")

Shot = tuple[Any, Shape]
"""A decoded frame (`av.VideoFrame`), and its shape."""

MICROSECONDS = 1_000_000
"""A second in the timestamps of frames."""

STAY = 500_000
"""Microseconds after which a picture counts as one that stayed (our choice)."""

DISORDER = 4
"""Most places by which keyframes are out of order (our choice: one was seen, in H.264 with open groups)."""

AHEAD = 8
"""Frames that are decoded ahead of the selection (our choice)."""


@dataclass(frozen=True)
class PictureSettings:
    """Settings of the selection and encoding of frames.

    Attributes:
        interval: Seconds; see `FrameSelector`.
        min_scene: Seconds; see `FrameSelector`.
        step: Seconds between candidates inside a scene.
        scene_threshold: ffmpeg's scene score above which a scene begins, 0 to 1.
        max_side: Pixels of a JPEG's longer side, or a budget of tokens; smaller pictures are not enlarged.
        qscale: ffmpeg's JPEG scale, 2 (best) to 31.
        skip_frame: Frames that the decoder skips: ``DEFAULT`` decodes every frame, ``NONREF`` skips frames without
            references to them, ``NONKEY`` all but keyframes.
        hwaccel: Hardware decoder.
    """

    interval: float
    min_scene: float
    step: float
    scene_threshold: float
    max_side: int | str
    qscale: int
    skip_frame: Literal["DEFAULT", "NONREF", "NONKEY"] = "DEFAULT"
    hwaccel: Literal["none", "cuda"] = "none"


@dataclass(frozen=True)
class Selected:
    """A selected frame as it leaves the process: its time, since when it is shown, its scene, bytes of its JPEG."""

    time: float
    start: float
    scene: int
    size: int


@dataclass(frozen=True)
class Account:
    """What was decoded.

    Attributes:
        covered: Seconds up to which the picture could be decoded; below 0 when nothing could.
        errors: Number of packets that could not be decoded.
    """

    covered: float
    errors: int


def select(track: Track, settings: PictureSettings, out: IO[bytes]) -> Account:
    """Select the frames of a picture and write them to `out`."""
    with opened(Path(track.path), track.container, _accelerator(settings.hwaccel)) as container:
        decoder = Decoder(container, track, settings.skip_frame)
        developer = Developer(settings.max_side, settings.qscale)
        selector: FrameSelector[Shot] = FrameSelector(settings.interval, settings.min_scene)
        seen = Seen()

        def write(selected: list[SelectedFrame[Shot]]) -> None:
            for one in selected:
                jpeg = developer.jpeg(*one.candidate.picture)
                start = to_milliseconds(min(one.start, one.candidate.time))
                line = json.dumps(asdict(Selected(one.candidate.time, start, one.scene, len(jpeg))))
                out.write(line.encode() + b"\n" + jpeg)

        for candidate in candidates(_ahead(seen.frames(decoder)), settings):
            write(selector.add(candidate))
        if seen.last >= 0:
            write(selector.finish(max(seen.last, track.end)))  # the last picture stays to the end
        return Account(seen.last, decoder.errors)


def candidates(frames: Iterable[Shot], settings: PictureSettings) -> Iterator[Candidate[Shot]]:
    """Yield a frame every `step` seconds and the first frame of each scene.

    Scene changes are detected over all frames; another shape of the picture begins a scene too.

    Args:
        frames: In time order, their timestamps in microseconds.
        settings: Of the selection.
    """
    current: Shape | None = None
    before: Any = None
    for frame, shape in frames:
        changed = current is not None and shape != current
        if shape != current:
            graph, current, before = _selection(shape, settings), shape, None
        # Where frames are skipped, nobody knows what was shown in between.
        stayed = before is not None and frame.pts - before.pts > STAY and settings.skip_frame == "DEFAULT"
        if stayed:
            # A score is a frame's difference from the one before, less that one's own: of pictures that follow each
            # other like slides, only the first would be a new scene. So the one that stayed is seen again.
            before.pts = frame.pts - 1
            _passed(graph, before)
        before = frame
        chosen = _passed(graph, frame)
        if chosen is None and not stayed:
            continue
        cut = changed or (chosen is not None and float(chosen.metadata["lavfi.scene_score"]) > settings.scene_threshold)
        yield Candidate(time=max(0.0, round(frame.pts / MICROSECONDS, 3)), cut=cut, picture=(frame, shape))


def _passed(graph: Graph, frame: VideoFrame) -> Any:
    """The frame, if the graph lets it pass; otherwise None."""
    import av

    graph.vpush(frame)
    try:
        return graph.vpull()
    except av.BlockingIOError:
        return None


def _selection(shape: Shape, settings: PictureSettings) -> Graph:
    expression = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{settings.step})+gt(scene,{settings.scene_threshold})"
    return filters(shape, [("select", {"expr": f"'{expression}'"})])


class Seen:
    """Passes on decoded frames.

    Attributes:
        last: Time of the latest frame so far, in seconds; below 0 before the first.
    """

    def __init__(self) -> None:
        self.last = -1.0

    def frames(self, decoder: Decoder) -> Iterator[Shot]:
        """The frames with timestamps in microseconds of the one clock, and their shapes.

        A clip starts with the frame that is shown when it starts.
        """
        shown: Shot | None = None
        shots = _shots(decoder)
        for stated, shot in _sorted(shots) if decoder.skip_frame == "NONKEY" else shots:
            time = max(0.0, self.last) if stated is None else stated
            if decoder.track.clip and time < 0:
                shown = shot
                continue
            if decoder.track.clip and time >= decoder.track.end:
                break
            if shown is not None and time > 0:
                yield self._timed(shown, 0.0)
            shown = None
            yield self._timed(shot, time)
        if shown is not None:
            yield self._timed(shown, 0.0)

    def _timed(self, shot: Shot, time: float) -> Shot:
        self.last = max(self.last, time, 0.0)
        shot[0].time_base = Fraction(1, MICROSECONDS)
        shot[0].pts = round(time * MICROSECONDS)
        return shot


def _shots(decoder: Decoder) -> Iterator[tuple[float | None, Shot]]:
    """The frames as they are decoded, each with its stated time in seconds."""
    shapes = ShapeReader(decoder)
    for frame in decoder.frames():
        yield decoder.time(frame), (frame, shapes.shape(frame))


def _sorted(shots: Iterable[tuple[float | None, Shot]]) -> Iterator[tuple[float | None, Shot]]:
    """Keyframes in the order of their times: decoders give some too early where what is between them is skipped."""
    held: list[tuple[float, int, Shot]] = []
    time = 0.0
    for number, (stated, shot) in enumerate(shots):
        time = time if stated is None else stated
        heapq.heappush(held, (time, number, shot))
        if len(held) > DISORDER:
            first, _, earliest = heapq.heappop(held)
            yield first, earliest
    for first, _, earliest in sorted(held):
        yield first, earliest


def _ahead(items: Iterator[ItemT]) -> Iterator[ItemT]:
    """The same items, made by a thread up to `AHEAD` before they are asked for."""
    queue: Queue[tuple[ItemT | None, BaseException | None]] = Queue(AHEAD)

    def work() -> None:
        try:
            for item in items:
                queue.put((item, None))
            queue.put((None, None))
        except BaseException as reason:  # noqa: BLE001 - raised in the reader
            queue.put((None, reason))

    Thread(target=work, daemon=True).start()
    while True:
        item, reason = queue.get()
        if reason is not None:
            raise reason
        if item is None:
            return
        yield item


def _accelerator(name: str) -> HWAccel | None:
    if name == "none":
        return None
    from av.codec.hwaccel import HWAccel

    return HWAccel(name)


def run(track: str, settings: str) -> None:
    """Decode a picture once, from start to end, and write the selected frames to the standard output.

    Each is a line of JSON and a JPEG; at the end comes an account.

    Args:
        track: A `Track` as JSON.
        settings: A `PictureSettings` as JSON.
    """
    account = select(Track(**json.loads(track)), PictureSettings(**json.loads(settings)), sys.stdout.buffer)
    sys.stdout.buffer.write(json.dumps(asdict(account)).encode() + b"\n")
