"""What a model says about its task, or instead of doing it."""

from __future__ import annotations

import functools
import re

from stages.fuse.words import KEPT, plain, words
from storyloom.format.words import WITHOUT_SPACES

LEAKED_WORDS = 5
"""Words in a row that the answer shares with the prompt (our choice: four are still common phrases)."""

LEAKED_CHARACTERS = 10
"""The same in scripts without spaces, in characters (our choice)."""

TASK = re.compile(
    r"""
    \b(?: captions? | captioned | captioning | transcripts? | transcription | transcribed | subtitles? | sentences?
        | asr | (?:the|this|your|given)[ ]prompts? | alt[ -]text | instructions?[ ](?:above|below|given|provided)
        | paraphras(?:e|es|ed|ing) | rephras(?:e|es|ed|ing)
        | (?:real|actual)[ -]world[ ](?:knowledge|information|details?|context|facts?) | wording
        | speech | narration | let[ ]me[ ]know | fusion | merg(?:ed|ing) | fus(?:ed|ing) | inputs?
        | (?:as[ ])?(?:you|they)[ ](?:have[ ])?(?:asked|requested|provided|wanted|instructed)
        | as[ ](?:asked|required|requested|instructed)
        | (?:the|this|both|each|said)[ ](?:\w+[ ])?descriptions?
        | synthetic[ ](?:texts?|descriptions?)
        | (?:two|both|given|provided|original|raw|input|second|first|merged|fused|combined|new|rewritten|final)
          [ ](?:texts?|inputs?|statements?|descriptions?|paragraphs?|captions?|passages?|outputs?)
        | (?:image|frame|picture|visual|scene)[ ](?:descriptions?|text|context)
        | descriptions?[ ](?:of[ ]the[ ](?:image|frame|picture|scene)|says?|states?|mentions?|provided|given)
        | (?:spoken|speech|audio|input|source)[ ](?:text|content|part|input)
        | (?:fused|merged)[ ](?:result|answer|response|one)
        | according[ ]to[ ]the[ ](?:speech|audio|text|description|image|frame)
        | here(?:[ ]is|'s|[ ]are)[ ](?:the|your|a|my)[ ](?:\w+[ ]){0,2}(?:text|version|result|output|answer|summary)
        | (?:maintain|keep|kept|preserv|retain|reflect|captur|convey)(?:s|es|ed|ing|e)?[ ](?:all[ ])?(?:of[ ])?the
          [ ](?:original[ ])?(?:meanings?|facts?|information|intent)
        | original[ ](?:meaning|tone|intent) | spoken[ ](?:words?|part) | (?:note|explanation|reasoning|rationale)(?=:)
        | i[ ](?:have[ ])?(?:merged|rewrote|fused|ensured|preserved|omitted|rephrased|followed[ ](?:the|your))
        | (?:as|your|these)[ ](?:instructions?|instructed|requested) | (?:first|second|both)[ ]inputs?
        | world[ ]knowledge | grammatical(?:ly)?
        | bildunterschrift(?:en)? | bildbeschreibung(?:en)? | transkripts? | transkription | legende[ ]de[ ]l'image
        | légendes? | transcripción | subtítulos? | transcrição | legendas? | trascrizione | didascali[ae]
        | подпис[ьи] | транскрипци[яию]
    )\b
    | 字幕 | 转录 | 转写 | 图片描述 | 图像描述 | 两个句子 | 新句子
    | 文字起こし | 書き起こし | キャプション | 캡션 | 자막
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words of such tasks: merging what was said with a description. Where an input has them, they are its matter."""

ENDING = re.compile("(?:s|ed|ing)$")
"""What an input's word for the same may lack."""

LABEL = re.compile(
    r"^\W{0,20}here(?:'s| is| are| you)\b[^.!?:]{0,80}:|"
    r"^\W{0,20}(?:(?:sure|certainly|of course|okay|absolutely|understood)\b[^.:!]{0,60}[:!]"
    r"|(?:\w+ ){0,2}(?:output|answer|result|response|text|sentence|version|summary|fusion|fused|merged"
    r"|rewrite|merge|paragraph|description"
    r"|user|assistant|system|human)"
    r"(?:[\])]|\s*[\])*]{0,3}:))",
    re.IGNORECASE,
)
"""The start of an answer that speaks of itself."""

MARKUP = re.compile(
    r"```|\[/?(?:begin|end|inst|start)\b[^\]]{0,20}\]|</?[a-z_]{2,20}>|<\|[^|>]{1,30}\|>|^\s*\{\s*\"", re.IGNORECASE
)
"""Fences, tags and fields that hold an answer together and belong to no text."""


TASKS = r"(?:answer|assist|combine|complete|comply|create|fuse|generate|help|merge|produce|provide|say|write)\b"
"""What a model says that it cannot do."""


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE | re.MULTILINE)


REFUSALS = {
    "machine": _pattern(
        r"\bas an? (?:ai|artificial|language model|large language|virtual|text-based|assistant)\b",
        r"\bi(?:'m| am) (?:just |only )?an? (?:ai|language model|assistant|machine|text|program|bot|chatbot)\b",
        r"\bals (?:ki|sprachmodell)\b|\ben tant qu'ia\b|\bcomo (?:un|um|una|uma) (?:modelo|ia|inteligencia)\b",
        r"\b(?:my|our|the|content|usage) (?:guidelines?|polic(?:y|ies)|programming|safety rules)\b|\bviolates\b",
        r"作为(?:一个)?(?:AI|人工智能)",
    ),
    "apology": _pattern(
        r"\b(?:i'm|i am|we're|we are) (?:\w+ ){0,2}(?:sorry|afraid)\b|^[^\w\n]{0,20}(?:sorry|apologies)\b",
        r"\b(?:i|we) regret\b|\bregrettably\b|\bspiacente\b",
        r"\b(?:i|we) (?:\w+ )?apologi[sz]e\b|\bmy apologies\b|\bforgive me\b",
        r"\btut mir leid\b|\bentschuldig(?:ung|en sie)\b|\bdésolée?\b|\bje regrette\b|\blo siento\b|\bdisculp[ae]\b",
        r"\blamento\b|\bdesculpe\b|\bsinto muito\b|\bmi dispiace\b|\bhet spijt me\b|\bизвините\b|\bпростите\b",
        r"抱歉|对不起|對不起|申し訳|すみません|죄송",
    ),
    "inability": _pattern(
        r"\bi(?:'m| am| was) (?:\w+ ){0,2}(?:unable|not (?:able|allowed|permitted|capable|comfortable|going to))\b",
        r"\bi (?:\w+ )?(?:decline|refuse)\b|\bi (?:would|'d) rather not\b|\bi prefer not\b",
        r"\b(?:i|we) (?:\w+ )?(?:cannot|can't|can not|could not|couldn't|won't|will not)\b",
        rf"\b(?:it is|it's) (?:not possible|impossible|not appropriate)(?: for me)? to {TASKS}",
        r"\bno (?:\w+ ){0,2}(?:text|caption|sentence|answer|output|response) (?:can|could|is|was)\b",
        rf"\bunable to (?:\w+ )?{TASKS}",
        r"\b(?:cannot|can't|could not) be (?:\w+ )?(?:combined|merged|fused|reconciled|completed|fulfilled|rewritten|"
        r"generated|written|produced)\b",
        r"\bich bin (?:\w+ ){0,2}nicht in der lage\b|\bpas capable de\b|\bno (?:soy capaz|me es posible)\b",
        r"\bnon sono in grado\b",
        r"^[^\w\n]{0,20}(?:n/a|none|null|no (?:response|answer|output|text|caption|content))\W{0,9}$",
        r"\bich kann (?:\w+ ){0,4}nicht\b|\bleider kann\b|\bje ne peux pas\b|\bpas en mesure de\b|\bno puedo\b",
        r"\bnão posso\b|\bnon posso\b|\bik kan (?:\w+ ){0,3}niet\b|\bне (?:могу|в состоянии)\b",
        r"我无法|我無法|我不能|できません|할 수 없습니다",
    ),
    "want": _pattern(
        r"\bplease (?:provide|share|give|supply|send|clarify|specify)\b",
        r"\b(?:could|can|would) you (?:please )?(?:provide|share|clarify|send|supply)\b",
        r"\b(?:insufficient|not enough|no) (?:information|context|details?)\b",
        r"\bi (?:do not|don't) (?:have|see|know|think i can|feel comfortable|understand)\b|\bi need more\b",
        r"\bi (?:would|'d) need\b",
    ),
}
"""Ways of declining: to be a machine, apologies, inability, wanting more. Where the speech has one, the answer may."""


@functools.lru_cache(KEPT)
def _straight(text: str) -> str:
    """The text with straight apostrophes and single spaces, as the patterns have them."""
    return re.sub(r"[^\S\n]+", " ", plain(text).replace("’", "'"))


def speaks_of_task(answer: str, *inputs: str) -> bool:
    """Whether an answer names its task in words that no input has."""
    held = " ".join(_straight(text).casefold() for text in inputs)
    named = {ENDING.sub("", found.casefold()) for found in TASK.findall(_straight(answer))}
    return any(found not in held for found in named)


def labels_itself(answer: str, *inputs: str) -> bool:
    """Whether an answer says what it is, or carries markup, as no input does."""
    text = _straight(answer)
    return any(pattern.search(text) and not _any(pattern, inputs) for pattern in (LABEL, MARKUP))


def repeats_prompt(answer: str, prompt: str, *inputs: str) -> bool:
    """Whether words stand in a row in the answer and the prompt, and in no input."""
    for number, without_spaces in ((LEAKED_WORDS, False), (LEAKED_CHARACTERS, True)):
        shared = _grams(answer, number, without_spaces=without_spaces) & _grams(
            prompt, number, without_spaces=without_spaces
        )
        if shared.difference(*(_grams(text, number, without_spaces=without_spaces) for text in inputs)):
            return True
    return False


@functools.lru_cache(KEPT)
def _grams(text: str, number: int, *, without_spaces: bool) -> frozenset[tuple[str, ...]]:
    """Runs of so many words; of characters alone, or with one word of an alphabet at least."""
    found = words(text)
    grams = {found[at : at + number] for at in range(len(found) - number + 1)}
    return frozenset(gram for gram in grams if without_spaces or not all(map(_without_spaces, gram)))


def _without_spaces(word: str) -> bool:
    return re.match(f"[{WITHOUT_SPACES}]", word) is not None


def refuses(answer: str, said: str) -> bool:
    """Whether an answer declines, in a way in which the speech does not."""
    return any(
        pattern.search(_straight(answer)) and not pattern.search(_straight(said)) for pattern in REFUSALS.values()
    )


def _any(pattern: re.Pattern[str], texts: tuple[str, ...]) -> bool:
    return any(pattern.search(_straight(text)) for text in texts)
