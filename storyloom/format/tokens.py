"""Special tokens of multimodal trainers: literals that a tokenizer or a loader takes for a picture or a turn, not text.

One list for the writer, which neutralises them in texts, for `validate`, which refuses them, and for exports.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ANGLED = (
    # Tags of loaders: LLaVA, LLaVA-NeXT and -OneVision, LLaMA-Factory, ms-swift, Qwen-VL's fine-tuning code
    *("image", "video", "audio", "speech", "sound", "image-placeholder", "ref-object", "bbox"),
    # BOS, EOS and the like of SentencePiece models: Llama 1 and 2, Mistral, Gemma, T5, BART
    *("s", "unk", "pad", "bos", "eos", "mask", "sep", "cls", r"extra_id_\d+", "sys", "start_of_turn", "end_of_turn"),
    # Gemma 3 and 3n
    *("start_of_image", "end_of_image", "image_soft_token", "start_of_audio", "end_of_audio", "audio_soft_token"),
    # Idefics 1 to 3, SmolVLM, Granite-Docling
    *("fake_token_around_image", "end_of_utterance", "global-img", r"row_\d+_col_\d+"),
    # InternVL, GOT-OCR, Qwen-VL 1, CogVLM
    *("img", "img_context", "quad", "ref", "box", r"img_?\d+"),
    # LLaVA 1.0, Molmo, Step
    *("im_start", "im_end", "im_patch", "im_col", "vid_start", "vid_end"),
    # Janus and DeepSeek-VL, Emu 1 and 2, SEED
    *("image_placeholder", "begin_of_image", "boi", "eoi", r"image_?\d+", "image_start", "image_end", "image_newline"),
    # MiniCPM-V, PaliGemma and Florence-2, Kosmos-2, Chameleon, Fuyu
    *("image_id", "slice", "unit", r"loc_?\d+", r"seg\d+", "grounding", "phrase", "object", r"patch_index_\d+"),
    *("racm3:break", "eoss", r"reserved\d+", "boa"),
    # Tools and thoughts: Qwen, Hermes, DeepSeek-R1
    *("tool_call", "tool_response", "think"),
)
"""Names that stand in angle brackets, in any case, also closing or closed in themselves: ``<image>``, ``</s>``,
``<video/>``. Regular expressions. Their sources: the processors below `models/` in transformers 5.23, the tokenizers of
the models that they are for, and the loaders of the trainers that docs/export.md names."""

SQUARED = (
    # Pixtral and Mistral 3, Voxtral, mistral-common's control tokens; Llama 2's and LLaVA's turns; GLM-4
    *("IMG", "IMG_BREAK", "IMG_END", "AUDIO", "BEGIN_AUDIO", "INST", "SYSTEM_PROMPT", "PREFIX", "MIDDLE", "SUFFIX"),
    *("TOOL_CALLS", "AVAILABLE_TOOLS", "TOOL_RESULTS", "TOOL_CONTENT", "THINK", "gMASK", "sMASK"),
)
"""Names that stand in square brackets, in this case alone: ``[audio]`` is what a subtitle says of a sound."""

BARRED = ("SPEAKER", "NEWLINE")
"""Names between bars: Fuyu's."""

TOKEN = re.compile(
    rf"(?i:(?<!<)<++/?(?P<angled>{'|'.join(ANGLED)})(?:\s?/)?>+)"
    # tiktoken's form has any name: Qwen's <|image_pad|> and <|im_end|>, Llama's <|begin_of_text|>, Phi's <|image_1|>,
    # OpenFlamingo's <|endofchunk|>, GLM's <|begin_of_image|>, with wide bars DeepSeek's
    r"|(?<!<)<++\|++(?P<piped>[^<>|]{1,64})\|++>+"
    rf"|(?<!\[)\[++/?(?P<squared>{'|'.join(SQUARED)})\]+"
    rf"|\|(?P<barred>{'|'.join(BARRED)})\|"
)
"""A special token, in a text without invisible characters and with narrow letters."""

MARKS = "<>[]|"
"""What every token begins and ends with."""

INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | {
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xE0100, 0xE01F0)),
}
"""Characters without a picture outside Unicode's categories Cc and Cf: joiners, fillers, variation selectors."""

ROUNDS = 4
"""Times that a text is searched for tokens that appeared when others lost their marks (our choice)."""


def special_token(text: str) -> str:
    """The first special token in a text as it stands there; empty when there is none."""
    return next((text[start:end] for start, end, _ in _tokens(text)), "")


def neutralised(text: str) -> str:
    """A text whose special tokens have lost their marks: ``<image>`` becomes ``image``. Any other stays as it is."""
    for _ in range(ROUNDS):
        pieces, last = [], 0
        for start, end, name in _tokens(text):
            pieces += [text[last:start], name]
            last = end
        if not pieces:
            return text
        text = "".join([*pieces, text[last:]])
    return without_marks(text) if special_token(text) else text


def without_marks(text: str) -> str:
    """A text without the characters that tokens begin and end with: it holds no token, whatever it is joined to."""
    return "".join(char for char in text if _narrow(char) not in MARKS)


def letter(char: str) -> str:
    """A character as a token is looked for: narrow, and empty for one that is invisible."""
    return "" if _invisible(char) else _narrow(char)


def _tokens(text: str) -> Iterator[tuple[int, int, str]]:
    """Beginning, end and bare name of each token; also of those in wide letters or with invisible characters inside."""
    places = range(len(text))
    plain = text
    if not text.isascii():
        seen = [(place, _narrow(char)) for place, char in enumerate(text) if not _invisible(char)]
        places = [place for place, _ in seen]  # type: ignore[assignment]
        plain = "".join(char for _, char in seen)
    for found in TOKEN.finditer(plain):
        yield places[found.start()], places[found.end() - 1] + 1, found[found.lastgroup or 0]


def _narrow(char: str) -> str:
    """A character as NFKC has it, where that is one: wide letters and marks become ASCII's."""
    form = unicodedata.normalize("NFKC", char)
    return form if len(form) == 1 else char


def _invisible(char: str) -> bool:
    return char in INVISIBLE or unicodedata.category(char) in ("Cc", "Cf")
