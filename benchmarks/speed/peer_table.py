"""The peers of the speed bench: their packages, and the parts of the job that they can and cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from storyloom.errors import UsageError

TORCH = ("torch", "torchvision")
"""Packages that peers get in our versions unless they pin them, for a fair comparison."""


@dataclass(frozen=True)
class Peer:
    """A tool to compare with.

    Attributes:
        name: As `--peer` takes it.
        script: In `benchmarks/speed/peers`; runs inside the peer's environment and prints its times as JSON.
        packages: Pinned requirements.
        ours: Further packages, in the versions that we run.
        work: The work in which it is compared.
        does: The part of the job that it does, a sentence.
        cannot: The part of the job that it cannot do, a sentence.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    ours: tuple[str, ...]
    work: Literal["speech", "frames", "frames and scores", "whole"]
    does: str
    cannot: str


PEERS = (
    Peer(
        "openai-whisper",
        "whisper_command.py",
        ("openai-whisper==20250625",),
        TORCH,
        "speech",
        "Its command line hears all videos in one call, with words and times.",
        "It takes no frames, scores nothing and writes no shards; it has no voice activity detection and no batches.",
    ),
    Peer(
        "user-script",
        "user_script.py",
        ("openai-whisper==20250625", "webdataset==1.0.2"),
        (*TORCH, "open-clip-torch", "timm", "transformers"),
        "whole",
        "ffmpeg's fps filter into JPEGs, openai-whisper with words, open_clip frame by frame, and webdataset's"
        " ShardWriter.",
        "It knows no scenes, duplicates, sentences, lags, thresholds or documents, and cannot be resumed.",
    ),
    Peer(
        "video2dataset",
        "video2dataset_frames.py",
        ("video2dataset==1.3.0", "pyarrow==17.0.0", "pandas==2.3.3", "setuptools==80.9.0"),
        (),
        "frames",
        "It re-encodes each video at the wanted rate of frames and packs the videos into shards.",
        "Release 1.3.0 writes no shard when its frame or resolution subsampler is asked for, since these lack the"
        " `encode_formats` that its writer reads; it would write videos, no frames with times. Its speech recognition"
        " needs whisperx, which it does not install, and gives no word times; it has no image-text scores and no"
        " documents. It starts only with numpy 1, hence an older pyarrow.",
    ),
    Peer(
        "data-juicer",
        "data_juicer_filter.py",
        ("py-data-juicer==1.6.1", "av==13.1.0", "aiohttp==3.14.5", "psutil==7.2.2"),
        (*TORCH, "transformers"),
        "frames and scores",
        "Its video_frames_text_similarity_filter decodes a number of frames and compares them with the video's text.",
        "The filter takes one text a video, cut at the model's context, not a sentence a frame, and keeps no frames;"
        " its texts have to be there; it loads Hugging Face CLIPs only, so it runs a smaller one of random weights.",
    ),
    Peer(
        "pixeltable",
        "pixeltable_tables.py",
        ("pixeltable==0.7.21", "openai-whisper==20250625"),
        (*TORCH, "transformers"),
        "whole",
        "Its frame iterator, whisper and CLIP functions as computed columns: frames, words, embeddings of both.",
        "It cuts no scenes, compares frames with the whole speech of a video rather than with sentences, and writes"
        " tables, no shards; it loads Hugging Face CLIPs only, so it runs a smaller one of random weights.",
    ),
)


def select_peers(names: Sequence[str]) -> list[Peer]:
    """The peers of these names; all without a name, none for ``none``.

    Raises:
        UsageError: A name is not a peer's.
    """
    known = {one.name: one for one in PEERS}
    if list(names) == ["none"]:
        return []
    for name in names:
        if name not in known:
            raise UsageError(f"no peer {name!r}; the peers are {', '.join(known)}, or none")
    return [one for one in PEERS if not names or one.name in names]
