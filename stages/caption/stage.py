"""caption: a vision-language model says what each frame of a document shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from schemas.row import Row
from schemas.rows import CaptionsRow, DocumentsRow, FrameCaption, FramesRow
from stages.base import Context, Input, Stage, Video
from stages.fuse import checks
from stages.inference.asking import Ask, Asking
from stages.inference.backend import backend_of, model_revision, unreachable
from stages.inference.instruction import instruction, instruction_hash
from stages.inference.question import Answer, NoAnswer, Picture, Question, Refused
from stages.inference.settings import ModelConfig
from stages.models.revision import library_versions

INSTRUCTION = Path(__file__).with_name("instruction.txt")


class CaptionConfig(ModelConfig):
    """Settings of the captions: the model, the frames, the instruction.

    Attributes:
        frames: ``kept`` describes each frame of a document; ``scenes`` one of each scene, and the others of the scene
            have its caption.
        max_side: Pixels of a picture's longer side as the model is shown it (our choice).
        instruction: What the model is told to do; ours, stages/caption/instruction.txt, where it is empty.
    """

    frames: Literal["kept", "scenes"] = "kept"
    max_side: Annotated[int, Field(ge=16, le=16_384)] = 512
    instruction: Annotated[str, Field(max_length=20_000)] = ""

    @property
    def told(self) -> str:
        """The instruction that holds."""
        return self.instruction or instruction(INSTRUCTION)


class Caption(Stage[CaptionConfig, CaptionsRow]):
    """Shows frames to a model. A frame without a caption is told with its reason; it never fails its video."""

    name = "caption"
    version = 1
    reads = (Input("filter"), Input("sample"))
    seeded = True
    row = CaptionsRow
    Config = CaptionConfig

    def __init__(self, config: CaptionConfig, context: Context) -> None:
        super().__init__(config, context)
        self._asking: Asking | None = None

    def revision(self) -> str:
        told = f"instruction {instruction_hash(self.config.told)}"
        return f"{model_revision(self.config)}; {told}; {library_versions('pillow', *checks.LIBRARIES)}"

    def unreachable(self) -> list[str]:
        return unreachable(self.name, self.config)

    def setup(self) -> None:
        checks.load()
        self._asking = Asking(self.name, self.config, self.context, backend_of(self.name, self.config, self.context))

    def process(self, videos: Iterable[Video]) -> Iterator[Row]:
        """Ask about the frames of several videos at a time."""
        assert self._asking is not None, "setup() comes first"
        yield from self._asking.rows(videos, lambda video: len(self._asked(video)), self._captioned)

    def one(self, video: Video) -> CaptionsRow:
        (row,) = self.process([video])
        assert isinstance(row, CaptionsRow)
        return row

    def _asked(self, video: Video) -> dict[int, int]:
        """For each frame of the video's documents, the one whose caption it has."""
        kept = sorted({frame.frame for document in video[DocumentsRow].documents for frame in document.frames})
        if self.config.frames == "kept":
            return dict(zip(kept, kept, strict=True))
        frames = video[FramesRow].frames
        first: dict[int, int] = {}
        for index in kept:
            first.setdefault(frames[index].scene, index)
        return {index: first[frames[index].scene] for index in kept}

    async def _captioned(self, video: Video, ask: Ask) -> CaptionsRow:
        of_frame = self._asked(video)
        jpegs = video[FramesRow].jpegs
        shown = sorted(set(of_frame.values()))
        questions = [Question(self.config.told, picture=Picture(jpegs[index], self.config.max_side)) for index in shown]
        answers = await ask(questions)
        refused = [place for place, answer in enumerate(answers) if self._problem(answer)]
        again = [self._once_more(questions[place], answers[place]) for place in refused]
        for place, answer in zip(refused, await ask(again), strict=True):
            answers[place] = answer
        found = dict(zip(shown, answers, strict=True))
        captions = [self._caption(index, found[asked]) for index, asked in of_frame.items()]
        return CaptionsRow(video=video.key, warnings=video[DocumentsRow].warnings, captions=captions)

    def _problem(self, answer: Answer | NoAnswer) -> str:
        """Why a caption is refused; empty for a good one, and for none."""
        if isinstance(answer, NoAnswer):
            return ""
        return checks.caption_refused(answer.text, self.config.told)

    def _once_more(self, question: Question, answer: Answer | NoAnswer) -> Question:
        assert isinstance(answer, Answer)
        refused = Refused(answer.text, checks.told(self._problem(answer)))
        return replace(question, refused=refused)

    def _caption(self, frame: int, answer: Answer | NoAnswer) -> FrameCaption:
        if isinstance(answer, NoAnswer):
            return FrameCaption(frame=frame, caption="", status=f"failed:{answer.reason}", retryable=answer.retryable)
        if problem := self._problem(answer):
            return FrameCaption(frame=frame, caption="", status=f"failed:{problem}")
        return FrameCaption(frame=frame, caption=answer.text, status="captioned")
