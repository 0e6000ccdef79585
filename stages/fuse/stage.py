"""fuse: what is said and what is shown at a frame, as one text that a language model writes and that is checked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from schemas.config import OPERATIONAL, StageConfig
from schemas.row import Row
from schemas.rows import CaptionsRow, DocumentDraft, DocumentFrame, DocumentsRow, FrameFusion, FramesRow, FusedRow
from stages.base import Context, Input, Stage, Video
from stages.fuse import checks
from stages.inference.asking import Ask, Asking
from stages.inference.backend import backend_of, model_revision, unreachable
from stages.inference.instruction import instruction, instruction_hash
from stages.inference.question import Answer, NoAnswer, Question, Refused
from stages.inference.settings import ModelConfig
from stages.models.demo import DEMO
from stages.models.revision import library_versions
from stages.score.image_text import ImageTextModel
from stages.score.stage import ScoreConfig, image_text_model, image_text_revision
from storyloom.format.words import count_words

INSTRUCTION = Path(__file__).with_name("instruction.txt")

LESS_SIMILAR = "less_similar"
"""Reason of a fused text that is less similar to its frame than the caption is, by more than the margin."""

TOLD_LESS_SIMILAR = "Tell what the caption tells, too: your text must still describe the picture."


class FuseConfig(ModelConfig):
    """Settings of the fusion: the model, what is fused at all, and what an answer must keep.

    Attributes:
        min_similarity: Least similarity of a frame and what is said at it; below it, what is said stays as it is. -1.0
            asks for no more than `filter` does.
        min_words: Least words of what is said (our choice).
        languages: Languages of documents that are fused, as BCP 47 codes; all where it is empty. ``en`` stands for
            ``en-GB``, too.
        margin: By how much less similar to its frame a fused text may be than the caption, by the model of `score`; one
            that is less similar is refused (our choice). ``off`` does not compare, and loads no such model.
        device: Where they are compared: ``cuda`` takes a GPU for each worker.
        replace: Whether the fused text takes the place of what was said in the documents; else it stands beside it.
        instruction: What the model is told to do; ours, stages/fuse/instruction.txt, where it is empty.
    """

    min_similarity: Annotated[float, Field(ge=-1.0, le=1.0)] = -1.0
    min_words: Annotated[int, Field(ge=1, le=1000)] = 4
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$")], ...] = ()
    margin: Literal["off"] | Annotated[float, Field(ge=0.0, le=2.0)] = 0.05
    device: Annotated[Literal["cpu", "cuda"], OPERATIONAL] = "cpu"
    replace: bool = False
    instruction: Annotated[str, Field(max_length=20_000)] = ""

    @property
    def uses_gpu(self) -> bool:
        return super().uses_gpu or (self.margin != "off" and self.device == "cuda")

    @property
    def told(self) -> str:
        """The instruction that holds."""
        return self.instruction or instruction(INSTRUCTION)


@dataclass(frozen=True)
class Pair:
    """What is said and what is shown at a frame.

    Attributes:
        frame: Index into the video's frames.
        speech: The frame's text.
        caption: Of the frame.
        language: BCP 47 code of the speech.
    """

    frame: int
    speech: str
    caption: str
    language: str

    def question(self, instruction: str, refused: Refused | None = None) -> Question:
        """What the model is asked."""
        return Question(instruction, {"speech": self.speech, "caption": self.caption}, refused=refused)


class Fuse(Stage[FuseConfig, FusedRow]):
    """Asks a model for one text of two. An answer is checked, and asked for once more; then what was said stays."""

    name = "fuse"
    version = 1
    reads = (Input("filter"), Input("caption"), Input("sample"))
    seeded = True
    shares = ("score",)
    row = FusedRow
    Config = FuseConfig

    def __init__(self, config: FuseConfig, context: Context) -> None:
        super().__init__(config, context)
        self._asking: Asking | None = None
        self._model: ImageTextModel | None = None

    @classmethod
    def inputs(cls, config: FuseConfig) -> tuple[Input, ...]:
        """Read the pictures only where they are compared."""
        return cls.reads if config.margin != "off" else (Input("filter"), Input("caption"))

    @classmethod
    def check(cls, sections: Mapping[str, StageConfig]) -> None:
        """Check that there are captions to fuse."""
        if sections["fuse"].enabled and not sections["caption"].enabled:
            raise ValueError("fuse.enabled needs caption.enabled: what is said is fused with what a caption says")

    def revision(self) -> str:
        told = f"instruction {instruction_hash(self.config.told)}"
        compared = "" if self.config.margin == "off" else f"; {image_text_revision(self._score)}"
        return f"{model_revision(self.config)}; {told}; {library_versions(*checks.LIBRARIES)}{compared}"

    @property
    def _score(self) -> ScoreConfig:
        """The settings of `score`, on this stage's device: its workers need not have the GPUs of those of `score`."""
        score = self.context.section("score", ScoreConfig)
        device = "cpu" if score.model == DEMO else self.config.device
        return score.model_copy(update={"device": device, "precision": score.precision if device == "cuda" else "auto"})

    def unreachable(self) -> list[str]:
        return unreachable(self.name, self.config)

    def setup(self) -> None:
        checks.load()
        self._asking = Asking(self.name, self.config, self.context, backend_of(self.name, self.config, self.context))
        if self.config.margin != "off":
            self._model, _ = image_text_model(self._score, self.timings)

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Ask about the frames of several videos at a time."""
        assert self._asking is not None, "setup() comes first"
        yield from self._asking.rows(videos, lambda video: len(video[CaptionsRow].captions), self._fused)

    def one(self, video: Video) -> FusedRow:
        (row,) = self.process([video])
        assert isinstance(row, FusedRow)
        return row

    async def _fused(self, video: Video, ask: Ask) -> FusedRow:
        found: dict[int, FrameFusion] = {}
        pairs: list[Pair] = []
        captions = {one.frame: one.caption for one in video[CaptionsRow].captions}
        for document in video[DocumentsRow].documents:
            for frame in document.frames:
                pair = _pair(document, frame, captions[frame.frame])
                if reason := self._gate(pair, frame.similarity):
                    found[frame.frame] = FrameFusion(frame=frame.frame, fused="", status=f"kept:{reason}")
                else:
                    pairs.append(pair)
        jpegs = video[FramesRow].jpegs if self._model else []
        found |= {one.frame: one for one in await self._answered(pairs, jpegs, ask)}
        return FusedRow(
            video=video.key,
            warnings=video[CaptionsRow].warnings,
            replace=self.config.replace,
            frames=[found[frame] for frame in sorted(found)],
        )

    def _gate(self, pair: Pair, similarity: float) -> str:
        """Why a frame is not fused; empty for one that is."""
        if not pair.speech:
            return "no_text"
        if not pair.caption:
            return "no_caption"
        if similarity < self.config.min_similarity:
            return "low_similarity"
        if count_words(pair.speech) < self.config.min_words:
            return "few_words"
        spoken = {pair.language, pair.language.partition("-")[0]}
        if self.config.languages and spoken.isdisjoint(self.config.languages):
            return "other_language"
        return ""

    async def _answered(self, pairs: Sequence[Pair], jpegs: Sequence[bytes], ask: Ask) -> list[FrameFusion]:
        """Ask about all frames of a video, once more about those whose answer is refused, and see what stays."""
        fusions = await self._judged(pairs, await ask([pair.question(self.config.told) for pair in pairs]), jpegs)
        again = [place for place, (fusion, _) in enumerate(fusions) if fusion.status.startswith("kept:")]
        questions = [
            pairs[place].question(self.config.told, Refused(fusions[place][1], _told(fusions[place][0].status)))
            for place in again
        ]
        second = await self._judged([pairs[place] for place in again], await ask(questions), jpegs)
        for place, fusion in zip(again, second, strict=True):
            fusions[place] = fusion
        return [fusion for fusion, _ in fusions]

    async def _judged(
        self, pairs: Sequence[Pair], answers: Sequence[Answer | NoAnswer], jpegs: Sequence[bytes]
    ) -> list[tuple[FrameFusion, str]]:
        """What becomes of each answer, and its text."""
        found = await asyncio.to_thread(self._all_checked, pairs, answers)  # else requests would wait for it
        good = [place for place, (fusion, _) in enumerate(found) if fusion.status == "fused"]
        if self._model and good:
            compared = [(jpegs[pairs[at].frame], pairs[at].caption, found[at][1]) for at in good]
            similar = await asyncio.to_thread(_similarities, self._model, compared)
            for at, (of_caption, of_fused) in zip(good, similar.tolist(), strict=True):
                found[at] = (self._compared(found[at][0], of_caption, of_fused), found[at][1])
        return found

    def _all_checked(
        self, pairs: Sequence[Pair], answers: Sequence[Answer | NoAnswer]
    ) -> list[tuple[FrameFusion, str]]:
        return [self._checked(pair, answer) for pair, answer in zip(pairs, answers, strict=True)]

    def _checked(self, pair: Pair, answer: Answer | NoAnswer) -> tuple[FrameFusion, str]:
        """What becomes of an answer by its text alone."""
        if isinstance(answer, NoAnswer):
            status = f"failed:{answer.reason}"
            return FrameFusion(frame=pair.frame, fused="", status=status, retryable=answer.retryable), ""
        judged = checks.Answer(answer.text, pair.speech, pair.caption, self.config.told, pair.language)
        if reason := checks.refused(judged):
            return FrameFusion(frame=pair.frame, fused="", status=f"kept:{reason}"), answer.text
        return FrameFusion(frame=pair.frame, fused=answer.text, status="fused"), answer.text

    def _compared(self, fusion: FrameFusion, of_caption: float, of_fused: float) -> FrameFusion:
        """What becomes of a fused text by the picture."""
        assert self.config.margin != "off"
        if of_fused < round(of_caption - self.config.margin, 4):
            return FrameFusion(frame=fusion.frame, fused="", status=f"kept:{LESS_SIMILAR}", similarity=of_fused)
        return fusion.model_copy(update={"similarity": of_fused})


def _pair(document: DocumentDraft, frame: DocumentFrame, caption: str) -> Pair:
    speech = document.texts[frame.text].text if frame.text >= 0 else ""
    return Pair(frame.frame, speech, caption, document.language)


def _told(status: str) -> str:
    """The sentence with which a model is asked once more."""
    reason = status.removeprefix("kept:")
    return TOLD_LESS_SIMILAR if reason == LESS_SIMILAR else checks.told(reason)


def _similarities(model: ImageTextModel, compared: Sequence[tuple[bytes, str, str]]) -> npt.NDArray[np.float64]:
    """Cosine similarity of each picture with its caption and with its fused text, to 4 decimals; shape (n, 2)."""
    jpegs, captions, fused = zip(*compared, strict=True)
    frames, texts = model.encode(jpegs, [*captions, *fused])
    pairs = texts.reshape(2, len(jpegs), -1)
    cosine: npt.NDArray[np.float64] = np.einsum("nd,tnd->nt", frames, pairs).astype(np.float64)
    return np.clip(cosine, -1.0, 1.0).round(4)
