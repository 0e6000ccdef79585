"""Subtitle tracks of every format, mutated."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from stages.media.subtitles.cues import cues
from tests.fuzz._mutation import mutated

TRACKS = tuple(
    track.encode()
    for track in (
        """WEBVTT

NOTE it is one

00:00:01.000 --> 00:00:03.000 align:start
Hello <00:00:02.000><c>there</c> &amp; you
""",
        """1
00:00:01,000 --> 00:00:03,000
<i>Hello</i> there

2
00:00:03,500 --> 00:00:05,000
- Who is it?
""",
        """0:00:01.000,0:00:03.000
Hello there

0:00:03.500,0:00:05.000
Who is it?
""",
        """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,{\\k50}Hel{\\k50}lo\\N{\\p1}m 0 0{\\p0} there
""",
        """<?xml version="1.0"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"><body><div>
<p begin="00:00:01:05" end="3s">Hello<br/><span begin="1s">there</span></p>
</div></body></tt>""",
        """{"events": [{"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "Hello"},
{"utf8": " there", "tOffsetMs": 500}]}]}""",
        """<?xml version="1.0"?>
<timedtext format="3"><body><p t="1000" d="2000"><s>Hello</s><s t="500"> there</s></p></body></timedtext>""",
        """<?xml version="1.0"?><transcript><text start="1.0" dur="2.0">Hello there</text></transcript>""",
    )
)


def cases(rng: random.Random) -> Iterator[bytes]:
    """Tracks with damage, some in another encoding."""
    while True:
        content = rng.choice(TRACKS)
        if rng.random() < 0.2:
            content = content.decode().encode(rng.choice(("utf-16", "utf-16-be", "utf-8-sig", "cp1252")))
        yield mutated(content, rng, TRACKS)


def check(case: bytes) -> None:
    """A track gives cues in order with finite times, or none; it never raises."""
    for cue in cues(case):
        assert all(math.isfinite(word.start) and word.start <= word.end for word in cue), cue
