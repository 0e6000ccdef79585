"""`storyloom bench speed`: our stages compared with their limits and with other tools, in one run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.overhead import CLIP_SECONDS, Fresh, cut_clips
from benchmarks.speed import limits
from benchmarks.speed.environments import PeerEnvironment, PeerReport, peer_job
from benchmarks.speed.memory import SHORT, long_video, peaks
from benchmarks.speed.ours import DECODES, Ours, run_whole
from benchmarks.speed.peer_table import select_peers
from benchmarks.speed.report import LIMITS, SpeedReport, our_versions, settings, this_machine
from benchmarks.speed.rounds import Comparison, Contender, Side, interleaved
from benchmarks.speed.startup import startup
from benchmarks.speed.weights import write_weights
from pipeline.config import RunConfig, load_config
from schemas.media import MediaRow
from stages.models.demo import DEMO, photo_sentence_folder
from stages.score.stage import ScoreConfig
from stages.transcribe.settings import TranscribeConfig
from storyloom.errors import UsageError

DEMO_VIDEO = Path("demo/narrated.mp4")


@dataclass(frozen=True)
class Options:
    """Options of the bench.

    Attributes:
        videos: Media files.
        clips: Pieces of the demo's video, the short clips; 0 leaves them out.
        rounds: Least turns of each side.
        peers: Names; all when empty, none for ``none``.
        peers_dir: Folder of their environments.
        install_seconds: Wall-clock limit of installing an environment.
        run_seconds: Wall-clock limit of a peer's turn.
        memory_hours: Length of the long video; 0 leaves it out.
    """

    videos: Sequence[Path]
    clips: int
    rounds: int
    peers: Sequence[str]
    peers_dir: Path
    install_seconds: float
    run_seconds: float
    memory_hours: float


def bench_speed(
    config: Path, overrides: Sequence[str], options: Options, scratch: Path, tell: Callable[[str], None]
) -> SpeedReport:
    """Measure everything, one comparison after the other, in folders under `scratch`.

    Args:
        config: Config file with models and settings.
        overrides: Of the config.
        options: What is measured, and how often.
        scratch: An existing folder.
        tell: Called with a line after each comparison: all of them may take an hour.

    Raises:
        UsageError: A video is missing, or an option has an unknown name.
        RunFailed: The pipeline or ffmpeg fails on a video.
    """
    for video in options.videos:
        if not video.is_file():
            raise UsageError(f"there is no video {video}")
    peers = [PeerEnvironment(one, options.peers_dir, options.install_seconds) for one in select_peers(options.peers)]
    reports = []
    for one in peers:
        reports.append(one.report())
        tell(f"{one.peer.name}: {reports[-1].failed or 'installed'}")
    overrides = _by_open_clip(config, overrides)
    fresh = Fresh(config, overrides, scratch)
    clips = cut_clips(DEMO_VIDEO, max(1, options.clips), scratch / "clips")
    run_whole(fresh, clips[:1])  # warm-up: programs and libraries come from the disk
    measured = _Comparisons(fresh, load_config(config, overrides), options, scratch, clips, peers, reports, tell)
    comparisons = [*measured.frames(), *measured.speech(), measured.scores(), measured.shards(), *measured.both()]
    comparisons.append(measured.whole(comparisons))
    broken = {side.name: side.failed for one in comparisons for side in one.sides if side.failed}
    reports = [report.model_copy(update={"failed": report.failed or broken.get(report.name, "")}) for report in reports]
    hours = options.memory_hours
    lengths = {one: long_video(one, DEMO_VIDEO, scratch) for one in ((hours * SHORT, hours) if hours else ())}
    return SpeedReport(
        command=" ".join(["storyloom", *sys.argv[1:]]),
        machine=this_machine(),
        versions=our_versions(),
        rounds=options.rounds,
        videos=[str(video) for video in options.videos],
        settings=settings(measured.config, measured.batches),
        limits=LIMITS,
        comparisons=comparisons,
        startup=startup(fresh, clips[0], options.rounds),
        memory=peaks(config, overrides, lengths, scratch),
        peers=reports,
    )


def _by_open_clip(config: Path, overrides: Sequence[str]) -> list[str]:
    """The overrides, with the demo's image-text model by open_clip: that runs what is compared, and real datasets."""
    demo = load_config(config, overrides).section(ScoreConfig).model == DEMO
    return [*overrides, *([f"score.model=local-dir:{photo_sentence_folder()}"] if demo else [])]


class _Comparisons:
    """The comparisons, each with its sides in turns."""

    def __init__(
        self,
        fresh: Fresh,
        config: RunConfig,
        options: Options,
        scratch: Path,
        clips: Sequence[Path],
        peers: Sequence[PeerEnvironment],
        reports: Sequence[PeerReport],
        tell: Callable[[str], None],
    ) -> None:
        self._tell = tell
        self._fresh, self.config, self._options, self._scratch = fresh, config, options, scratch
        self._clips = clips
        self._peers = [one for one, report in zip(peers, reports, strict=True) if not report.failed]
        self._weights = (
            write_weights(config.section(TranscribeConfig), config.section(ScoreConfig), options.peers_dir / "weights")
            if peers
            else None
        )
        self._ours = Ours(run_whole(fresh, options.videos).config)
        self._recognizer = limits.BareRecognizer(config.section(TranscribeConfig))
        self._model = limits.BareImageText(config.section(ScoreConfig))
        self.batches: dict[str, dict[int, float]] = {}

    def frames(self) -> list[Comparison]:
        """Sampling against decoding, over all videos and, where there are several, over each."""
        found = [self._frames("sample", self._options.videos, "")]
        if len(self._options.videos) > 1:
            for video in self._ours.videos("sample"):
                path = Path(video.manifest.url)
                found.append(self._frames(f"sample: {path.name}", [path], video.key))
        return found

    def _frames(self, work: str, videos: Sequence[Path], only: str) -> Comparison:
        contenders = [Contender("ffmpeg decodes only", "limit", lambda: limits.decode_only(videos))]
        contenders.append(Contender("sample", "ours", lambda: self._ours.seconds("sample", only)))
        for decode in DECODES:
            work_once = partial(self._ours.seconds, "sample", only, decode=decode)
            contenders.append(Contender(f"sample, decode={decode}", "ours", work_once))
        return self._compared(work, contenders, "" if only else "frames", self._media_seconds(only))

    def speech(self) -> list[Comparison]:
        """Transcribing against the bare pipeline, over the videos and over the short clips."""
        found = [self._speech("transcribe", self._ours)]
        if self._options.clips:
            ours = Ours(run_whole(self._fresh, self._clips).config)
            work = f"transcribe: {len(self._clips)} clips of {CLIP_SECONDS:g} s"
            found.append(self._speech(work, ours))
        return found

    def _speech(self, work: str, ours: Ours) -> Comparison:
        videos = [Path(one.manifest.url) for one in ours.videos("transcribe") if one[MediaRow].has_audio]
        sounds = limits.decoded_sounds(videos)
        contenders = [
            Contender("faster-whisper's batched pipeline, bare", "limit", lambda: self._recognizer.seconds(sounds)),
            Contender("transcribe", "ours", lambda: ours.seconds("transcribe"), ours.setup_seconds("transcribe")),
        ]
        seconds = sum(len(sound) for sound in sounds) / 16_000
        return self._compared(work, contenders, "speech", seconds, [str(video.absolute()) for video in videos])

    def scores(self) -> Comparison:
        """Scoring against the bare model."""
        pixels, tokens = self._model.tensors(*self._ours.jpegs_and_texts())
        self.batches = {
            "pictures": self._model.batch_seconds("image", pixels),
            "texts": self._model.batch_seconds("text", tokens),
        }
        best = tuple(min(tried, key=tried.__getitem__) for tried in self.batches.values())
        name = f"image-text model, bare: {len(pixels)} pictures, {len(tokens)} texts"
        contenders = [
            Contender(name, "limit", lambda: self._model.seconds(pixels, tokens, best)),
            Contender("score", "ours", lambda: self._ours.seconds("score"), self._ours.setup_seconds("score")),
        ]
        return self._compared("score", contenders, "", self._media_seconds(""))

    def shards(self) -> Comparison:
        """Writing shards against copying their bytes."""
        shards, scratch = self._ours.shards(), self._scratch
        name = f"copying the shards' {sum(one.stat().st_size for one in shards) / 2**20:.1f} MiB"
        contenders = [
            Contender(name, "limit", lambda: limits.copy_shards(shards, scratch)),
            Contender("write", "ours", lambda: self._ours.write_seconds(scratch)),
        ]
        return self._compared("write", contenders, "", self._media_seconds(""))

    def both(self) -> list[Comparison]:
        """Sampling and scoring together, for peers that do only both."""
        work = "frames and scores"
        if not any(one.peer.work == work for one in self._peers):
            return []
        ours = Contender(
            "sample and score", "ours", lambda: sum(self._ours.seconds(one) for one in ("sample", "score"))
        )
        return [self._compared(work, [ours], work, self._media_seconds(""))]

    def whole(self, parts: Sequence[Comparison]) -> Comparison:
        """A whole run against the sum of the limits, and against the peers that do the most."""
        setups: list[float] = []

        def run() -> float:
            found = run_whole(self._fresh, self._options.videos)
            setups.append(found.setup_seconds)
            return found.seconds

        found = self._compared("whole", [Contender("run, inline", "ours", run)], "whole", self._media_seconds(""))
        found.sides[0].setup_seconds = min(setups)
        bare = [
            next(one.sides[0] for one in parts if one.work == work)
            for work in ("sample", "transcribe", "score", "write")
        ]
        total = sum(side.median or 0.0 for side in bare)
        limit = Side(name="sum of the bare limits", kind="limit", seconds=[total])
        return found.model_copy(update={"sides": [limit, *found.sides]})

    def _compared(
        self, work: str, contenders: list[Contender], peers_in: str, seconds: float, videos: list[str] | None = None
    ) -> Comparison:
        """Measure the sides in turns, with the peers that do this work."""
        setups: dict[str, float] = {}
        peers = [
            Contender(one.peer.name, "peer", self._turn(one, setups, videos))
            for one in self._peers
            if one.peer.work == peers_in
        ]
        sides = interleaved([*contenders, *peers], self._options.rounds)
        for side in sides:
            side.setup_seconds = setups.get(side.name, side.setup_seconds)
        took = (f"{side.name} {side.failed or format(side.median or 0.0, '.2f') + ' s'}" for side in sides)
        self._tell(f"{work}: {', '.join(took)}")
        return Comparison(work=work, media_seconds=seconds, sides=sides)

    def _turn(self, one: PeerEnvironment, setups: dict[str, float], videos: list[str] | None) -> Callable[[], float]:
        assert self._weights is not None, "written when there are peers"
        job = peer_job(self.config, self._weights, self._ours, self._clips[0])
        if videos is not None:
            job["videos"] = videos

        def turn() -> float:
            work, setups[one.peer.name] = one.run(job, self._scratch, self._options.run_seconds)
            return work

        return turn

    def _media_seconds(self, only: str) -> float:
        return sum(one[MediaRow].duration for one in self._ours.videos("sample") if only in ("", one.key))
