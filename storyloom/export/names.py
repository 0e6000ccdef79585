"""Names of the export formats. The command line reads them at every start, so nothing else is imported here."""

from __future__ import annotations

from enum import StrEnum


class FormatName(StrEnum):
    """A format to which a finished dataset can be exported."""

    OBELICS = "obelics"
    MMC4 = "mmc4"
    MS_SWIFT = "ms-swift"
    LLAMA_FACTORY = "llama-factory"
    LLAVA_INTERLEAVE = "llava-interleave"
    QWEN_VL = "qwen-vl"
    QWEN3_VL = "qwen3-vl"
    LIVECC = "livecc"
    EMU3 = "emu3"
    EMU35 = "emu3.5"
    MOSAICML = "mosaicml"
