"""Ogg Opus files of a few seconds, the same bytes for the same samples."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from stages.media.audio import Samples
from storyloom.format.opus import LEAST, RATE


def opus(samples: Samples, bitrate: int) -> bytes:
    """An Ogg Opus file of samples at `RATE`; shorter ones than `LEAST` end with silence.

    It names no encoder and no version, and its serial number is 0: ffmpeg's "bitexact".

    Args:
        samples: Shape (samples,).
        bitrate: Bits a second.
    """
    import av

    file = io.BytesIO()
    padded = np.pad(samples, (0, max(0, LEAST - len(samples))))
    with av.open(file, "w", format="ogg", container_options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = bitrate
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for start in range(0, len(padded), LEAST):
            frame = av.AudioFrame.from_ndarray(padded[None, start : start + LEAST], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
