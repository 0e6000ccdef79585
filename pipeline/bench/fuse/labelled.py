"""A set of answers whose faults are known, made by rule; precision and recall of each check over it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from pipeline.bench.fuse.phrasings import ASIDES, GOOD, LEAKS, LOOPS, PROMPT, REFUSED, Aside
from pipeline.bench.fuse.scenes import ENGLISH, FOREIGN, Scene
from stages.fuse.checks import CHECKS, Answer

Choice = TypeVar("Choice")

NAMES = {
    "en": ("Rosalind", "Okafor", "Priya", "Lindqvist", "Tamsin", "Matsuda"),
    "fr": ("Thérèse", "Lefèvre"),
    "es": ("Pilar", "Ibáñez"),
    "pt": ("Graça", "Leonor"),
    "it": ("Bernardi", "Ludovica"),
    "nl": ("Sjoerd", "Hendrika"),
    "ru": ("Леной", "Олей"),
}

NUMBERS = {
    "en": (
        ("12", "twelve"),
        ("350", "three hundred and fifty"),
        ("1,500", "fifteen hundred"),
        ("45", "forty-five"),
        ("3.5", "three point five"),
        ("8", "eight"),
        ("1000", "one thousand"),
        ("1984", "nineteen eighty-four"),
        ("20", "twenty"),
    ),
    "de": (("12", "zwölf"), ("250", "zweihundertfünfzig")),
    "fr": (("15", "quinze"), ("80", "quatre-vingts")),
    "es": (("200", "doscientos"), ("6", "seis")),
    "pt": (("30", "trinta"), ("4", "quatro")),
    "it": (("40", "quaranta"), ("8", "otto")),
    "nl": (("25", "vijfentwintig"), ("7", "zeven")),
    "ru": (("15", "15"),),
    "zh": (("500", "500"),),
    "ja": (("120", "120"),),
    "ar": (("40", "40"), ("٣٥", "35")),
    "hi": (("25", "२५"),),
}
"""In digits and in words; a second way to write digits where the checks read no words."""

WRONG = {"en": "17", "de": "17"}

CHANGES_OF_LENGTH = frozenset({"length", "too_new", "loop", "lost_number", "lost_name"})
"""What may follow from a change of length, and is neither right nor wrong then."""

LEAKY = frozenset({"length", "too_new", "cut_sentence"})
"""What may follow from words around an answer, of which a closing tag ends no sentence."""

NO_ANSWER = CHANGES_OF_LENGTH | {"cut_sentence", "language", "leaked_prompt"}
"""What may follow from there being no answer at all."""


HALVES = {"seen": False, "held out": True}


@dataclass(frozen=True)
class Labelled:
    """An answer whose faults are known.

    Attributes:
        answer: With its inputs.
        wrong: Reasons for which it has to be refused.
        open: Reasons for which it may be: they follow from the fault.
        held: Whether it belongs to the half that nothing was tuned on.
        made: By which rule.
    """

    answer: Answer
    wrong: frozenset[str]
    open: frozenset[str]
    held: bool
    made: str


@dataclass(frozen=True)
class Score:
    """How a check did: a share of nothing is None.

    Attributes:
        reason: Of the check.
        wrong: Answers that have the fault.
        found: Of these, those that the check refuses.
        false: Answers without the fault that it refuses.
    """

    reason: str
    wrong: int
    found: int
    false: int

    @property
    def recall(self) -> float | None:
        """Share of the answers with the fault that are refused for it."""
        return self.found / self.wrong if self.wrong else None

    @property
    def precision(self) -> float | None:
        """Share of the refused answers that have the fault."""
        return self.found / (self.found + self.false) if self.found + self.false else None


def scores(labelled: list[Labelled]) -> list[Score]:
    """Each check over all answers but those for which its reason is open."""
    found = []
    for reason, check in CHECKS.items():
        judged = [(reason in one.wrong, check(one.answer)) for one in labelled if reason not in one.open]
        wrong = sum(is_wrong for is_wrong, _ in judged)
        hits = sum(is_wrong and refuses for is_wrong, refuses in judged)
        found.append(Score(reason, wrong, hits, sum(refuses for _, refuses in judged) - hits))
    return found


def halves(seed: int = 0) -> dict[str, list[Score]]:
    """The scores of the half that the checks were written against, and of the one held out."""
    made = labelled_answers(seed)
    return {name: scores([one for one in made if one.held == held]) for name, held in HALVES.items()}


def as_json(found: dict[str, list[Score]]) -> str:
    """The scores with their shares."""
    shown = {
        half: [{**asdict(one), "recall": one.recall, "precision": one.precision} for one in each]
        for half, each in found.items()
    }
    return json.dumps(shown, indent=1)


def markdown(found: dict[str, list[Score]]) -> Iterator[str]:
    """The scores as lines of Markdown."""
    yield "| check | half | with the fault | recall | refused without it | precision |"
    yield "|" + " --- |" * 6
    for rows in zip(*found.values(), strict=True):
        for half, one in zip(found, rows, strict=True):
            shares = f"{_share(one.recall)} | {one.false} | {_share(one.precision)}"
            yield f"| {one.reason} | {half} | {one.wrong} | {shares} |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def labelled_answers(seed: int = 0) -> list[Labelled]:
    """The set, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311
    made = [one for scene in (*ENGLISH, *FOREIGN) for one in _of_scene(scene, rng)]
    made += [
        Labelled(
            Answer(one.fused, one.raw, one.caption, PROMPT, one.language), frozenset(), frozenset(), one.held, "hard"
        )
        for one in GOOD
    ]
    return made


def _of_scene(scene: Scene, rng: random.Random) -> Iterator[Labelled]:
    """A good answer in each way to write its number, and one of each fault."""
    name = rng.choice(NAMES.get(scene.language, ("",)))
    digits, word = rng.choice(NUMBERS[scene.language])
    spoken, written = (digits, word) if rng.random() < 1 / 2 else (word, digits)

    def answer(template: str, *, name: str = name, number: str = written) -> str:
        filled = template.replace("{name}", name).replace("{n}", number)
        return filled[0].upper() + filled[1:]

    raw = scene.raw.replace("{name}", name).replace("{n}", spoken)
    tag = rng.choice([scene.language, ""])
    good = Answer(answer(scene.fused), raw, scene.caption, PROMPT, tag)

    def fault(made: str, fused: str, *wrong: str, may: frozenset[str] = frozenset()) -> Labelled:
        return Labelled(replace(good, fused=fused), frozenset(wrong), may - set(wrong), scene.held, made)

    yield fault("good", good.fused)
    yield fault("same number form", answer(scene.fused, number=spoken))
    yield fault("number dropped", answer(scene.fused, number=scene.some), "lost_number")
    if scene.language in WRONG:
        yield fault("number changed", answer(scene.fused, number=WRONG[scene.language]), "lost_number")
    if scene.someone:
        yield fault("name dropped", answer(scene.fused, name=scene.someone), "lost_name")
        if scene.language == "en":
            yield fault("name changed", answer(scene.fused, name="Quentin"), "lost_name")
    yield from _cuts(fault, good.fused, rng)
    yield fault(
        "looping", _pick(LOOPS, scene, rng)(good.fused), "loop", may=frozenset({"length", "cut_sentence", "too_new"})
    )
    yield fault(
        "another language",
        scene.other,
        "language",
        may=CHANGES_OF_LENGTH,
    )
    yield fault("too short", " ".join(good.fused.split()[:2]).rstrip(",.;") + ".", *_short(good), may=NO_ANSWER)
    yield fault("refused", _pick(REFUSED, scene, rng), "refusal", may=NO_ANSWER)
    if scene.language == "en":
        for _ in range(2):
            yield fault("leak", _pick(LEAKS, scene, rng)(good.fused), "leaked_prompt", may=LEAKY)
        aside: Aside = _pick(ASIDES, scene, rng)
        yield fault("invented", aside(good.fused, name, written), "too_new", may=frozenset({"length"}))
        yield fault("too long", _long(good.fused, scene, rng), "length", may=CHANGES_OF_LENGTH - {"length"})


def _short(good: Answer) -> tuple[str, ...]:
    return ("length",) if " " in good.fused else ()


def _cuts(fault: Callable[..., Labelled], fused: str, rng: random.Random) -> Iterator[Labelled]:
    """The answer broken off in one of several ways, late enough to keep most of it."""
    may = frozenset({"lost_number", "lost_name", "length", "too_new"})
    spaced = " " in fused
    parts = fused.split() if spaced else list(fused)
    kept = parts[: rng.randint(2 * len(parts) // 3, len(parts) - 2)]
    stem = (" " if spaced else "").join(kept).rstrip(".,;:")
    yield fault("cut", stem, "cut_sentence", may=may)
    end = rng.choice([",", " -", " —", " (", ","])
    yield fault("cut with a mark", stem + end, "cut_sentence", may=may)


def _long(fused: str, scene: Scene, rng: random.Random) -> str:
    """The answer and those of other scenes, without their names and numbers."""
    rest = [
        one.fused.replace("{name}", one.someone).replace("{n}", one.some) for one in ENGLISH if one.held == scene.held
    ]
    return " ".join([fused, *rng.sample(rest, 6)])


def _pick(found: dict[bool, list[Choice]], scene: Scene, rng: random.Random) -> Choice:
    """One of those of the scene's half."""
    return rng.choice(found[scene.held])
