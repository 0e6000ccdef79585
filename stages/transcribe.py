"""transcribe: the words of a video with their times, by speech recognition."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from schemas.config import OPERATIONAL, StageConfig
from schemas.row import to_milliseconds
from schemas.rows import MediaRow, Segment, TextSource, TranscriptRow
from stages import ffmpeg
from stages.agreement import Fitted, fitted
from stages.asr import HeardSegment, Recogniser, bcp47_language, segments_of, whisper_language
from stages.base import Context, Input, Stage, StageSetupError, Video, VideoDropped, VideoFailed
from stages.child import ChildFailed, Limits, child
from stages.demo_models import DEMO, DemoModelMissing, whisper_folder, whisper_revision
from stages.revision import content_revision
from stages.sentences import TERMINAL
from stages.subtitles import tracks
from stages.vad import SAMPLE_RATE, Audio, VadConfig, speech

LIBRARIES = {"faster-whisper": ("faster-whisper", "ctranslate2"), "openai-whisper": ("openai-whisper", "torch")}
"""Packages whose versions may change what is heard."""


MIN_SENTENCE_ENDS = 0.25
"""Share of the recogniser's ends of sentences that a subtitle track has to mark at least (our choice)."""


class TranscribeConfig(StageConfig):
    """The speech recogniser.

    Attributes:
        backend: The library behind it (faster-whisper: LiveCC, Emu3.5).
        model: ``demo``, a name that the library knows, e.g. ``large-v3`` (Emu3.5), or a local folder or file.
        language: BCP 47 code of the speech; empty has it detected. A manifest's `language` comes first.
        beam_size: Of the search (both libraries' paper default).
        compute_type: CTranslate2's; ``int8`` runs everywhere, ``float16`` on GPUs (LiveCC). openai-whisper has
            ``float16`` and ``float32``. ``default`` leaves it to the library and the device.
        vad: Voice activity detection.
        subtitles: ``prefer`` takes the text of a subtitle track that agrees with what was heard; ``ignore`` never does.
        min_agreement: Share of words that track and recogniser must have in common, 0 to 1 (our choice: tracks of the
            same speech measure over 0.8, of other speech under 0.2; tests/stages/test_agreement.py).
        batch_size: Windows of 30 s that are recognised at once (faster-whisper only; LiveCC's 16). Like the device it
            moves probabilities by less than the decimals that are kept.
        device: ``auto``, ``cpu`` or ``cuda``.
        cpu_threads: Threads of one worker on a CPU; fixed here, since Ray sets another default than a shell does.
        seconds: Wall-clock limit of decoding one video's sound.
        memory: Bytes of address space that decoding it may take.
    """

    backend: Literal["faster-whisper", "openai-whisper"] = "faster-whisper"
    model: Annotated[str, Field(min_length=1)] = DEMO
    language: str = ""
    beam_size: Annotated[int, Field(ge=1)] = 5
    compute_type: str = "int8"
    vad: VadConfig = VadConfig()
    subtitles: Literal["prefer", "ignore"] = "prefer"
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.6
    batch_size: Annotated[int, Field(ge=1), OPERATIONAL] = 16
    device: Annotated[Literal["auto", "cpu", "cuda"], OPERATIONAL] = "auto"
    cpu_threads: Annotated[int, Field(ge=1), OPERATIONAL] = 2
    seconds: Annotated[float, Field(gt=0), OPERATIONAL] = 1800.0
    memory: Annotated[int, Field(gt=0), OPERATIONAL] = 4 * 1024**3

    @property
    def uses_gpu(self) -> bool:
        return self.device != "cpu"


class Transcribe(Stage[TranscribeConfig, TranscriptRow]):
    """Decodes a video's first sound track and has a Whisper model write down what is said.

    A subtitle track that says the same gives the text; when it is said stays the recogniser's.
    """

    name = "transcribe"
    version = 1
    reads = (Input("download"),)
    row = TranscriptRow
    Config = TranscribeConfig

    def __init__(self, config: TranscribeConfig, context: Context) -> None:
        super().__init__(config, context)
        self._recogniser: Recogniser | None = None
        self._turn = Lock()  # a worker may have two parts in hand: one is decoded while the other is recognised

    def revision(self) -> str:
        try:
            model = whisper_revision() if self.config.model == DEMO else content_revision(self.config.model)
        except DemoModelMissing as missing:
            raise StageSetupError(str(missing)) from missing
        libraries = [f"{package} {version(package)}" for package in LIBRARIES[self.config.backend]]
        return "; ".join([model, *libraries, f"ffmpeg {ffmpeg.version()}"])

    def setup(self) -> None:
        ffmpeg.program()
        self._recogniser = load_recogniser(self.config)

    def one(self, video: Video) -> TranscriptRow:
        assert self._recogniser is not None, "setup() comes first"
        media = video[MediaRow]
        if not media.has_audio:
            raise VideoDropped("no_audio", f"streams: {media.video_codec or 'none'}")
        path = self.context.media / media.media
        limits = Limits(self.config.seconds, self.config.memory)
        audio = decode(path, limits)
        duration = len(audio) / SAMPLE_RATE
        warnings = []
        language = whisper_language(video.manifest.language or self.config.language)
        if language and language not in self._recogniser.languages:
            warnings.append("language_not_supported")
            language = ""
        with self._turn:
            heard = self._recogniser.transcribe(audio, language)
        stretches = speech(audio, self.config.vad, padded=False)
        segments = segments_of(heard.segments, stretches, duration)
        if not segments:
            raise VideoDropped("no_speech", f"not a word in {duration:.1f} s of sound")
        source: TextSource = "asr"
        nearest, problems = self._nearest_track(media, segments, duration, limits)
        if nearest and nearest.agreement < self.config.min_agreement:
            problems.append("subtitles_disagree")
        elif nearest and _loses_sentences(nearest, segments):
            problems.append("subtitles_unpunctuated")
        elif nearest:
            source = "subtitles"
            segments = segments_of([HeardSegment(cue, 0.0, 0.0, 0.0) for cue in nearest.cues], stretches, duration)
        if ffmpeg.ends_early(path, duration, media.duration, limits):
            warnings.append("audio_ends_early")
        return TranscriptRow(
            video=video.key,
            warnings=warnings + problems,
            language=bcp47_language(heard.language),
            language_probability=heard.language_probability,
            duration=to_milliseconds(duration),
            source=source,
            agreement=nearest.agreement if nearest else -1.0,
            segments=segments,
        )

    def _nearest_track(
        self, media: MediaRow, heard: list[Segment], duration: float, limits: Limits
    ) -> tuple[Fitted | None, list[str]]:
        """The first subtitle track that agrees enough, otherwise the one that agrees most; and warnings of others."""
        nearest: Fitted | None = None
        problems: list[str] = []
        if self.config.subtitles == "ignore":
            return nearest, problems
        for cues in tracks(media, self.context.media, limits):
            if not cues:
                problems = ["subtitles_unreadable"]
                continue
            track = fitted(cues, heard, duration)
            if nearest is None or track.agreement > nearest.agreement:
                nearest = track
            if nearest.agreement >= self.config.min_agreement:
                break
        return nearest, problems


def _loses_sentences(track: Fitted, heard: list[Segment]) -> bool:
    """Whether a track marks far fewer ends of sentences than the recogniser: captions that a machine wrote do."""
    marked = sum(bool(TERMINAL.search(word.text.strip())) for cue in track.cues for word in cue)
    expected = sum(bool(TERMINAL.search(word.text.strip())) for segment in heard for word in segment.words)
    return marked < MIN_SENTENCE_ENDS * expected


def load_recogniser(config: TranscribeConfig) -> Recogniser:
    """The configured back end with its model.

    Raises:
        StageSetupError: The model is not there, or the library cannot load it.
    """
    if config.backend == "openai-whisper" and config.model == DEMO:
        raise StageSetupError("transcribe.model 'demo' is for faster-whisper; name a checkpoint of openai-whisper")
    try:
        if config.backend == "faster-whisper":
            from stages.asr_faster_whisper import FasterWhisper

            return FasterWhisper(
                str(whisper_folder()) if config.model == DEMO else str(_expanded(config.model)),
                device=config.device,
                compute_type=config.compute_type,
                cpu_threads=config.cpu_threads,
                beam_size=config.beam_size,
                batch_size=config.batch_size,
                vad=config.vad,
            )
        from stages.asr_openai_whisper import OpenaiWhisper

        return OpenaiWhisper(
            str(_expanded(config.model)),
            device=config.device,
            compute_type=config.compute_type,
            cpu_threads=config.cpu_threads,
            beam_size=config.beam_size,
            vad=config.vad,
        )
    except DemoModelMissing as missing:
        raise StageSetupError(str(missing)) from missing
    except (ImportError, OSError, RuntimeError, ValueError) as reason:
        message = f"transcribe.model {config.model!r} cannot be loaded by {config.backend}: {reason}"
        raise StageSetupError(message) from reason


def decode(media: Path, limits: Limits) -> Audio:
    """A file's first sound track on the clock that its frames have: a track that starts late starts with silence.

    Raises:
        VideoFailed: ``audio_undecodable``, or ``decode_timeout``.
    """
    output = ffmpeg.source(media)["a:0"].output(
        "pipe:", af="aresample=async=1:first_pts=0", ac=1, ar=SAMPLE_RATE, f="s16le"
    )
    try:
        with child(ffmpeg.command(output), limits) as sound:
            samples = np.frombuffer(sound.read(), dtype="<i2")
    except ChildFailed as failed:
        raise ffmpeg.video_failed(failed, "audio_undecodable", limits) from failed
    if not len(samples):
        raise VideoFailed("audio_undecodable", "not a sample of the sound track could be decoded")
    return samples.astype(np.float32) / 32768.0


def _expanded(model: str) -> Path | str:
    """A local path with its ``~`` resolved; a name that is no path as it is."""
    path = Path(model).expanduser()
    return path if path.exists() else model
