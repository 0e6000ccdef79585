"""Files that are larger than the memory, of which nothing is read in vain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.manifest import ManifestRow
from stages.download.clip import clipped
from stages.download.probing import probe
from stages.media import track
from stages.media.decoder import track_of
from stages.media.sandbox import Limits
from tests.stages.real_media import linked, made

PADDING = 200 * 2**20


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short WebM file with much padding after its last packet, which takes no room on the disk."""
    out = tmp_path_factory.mktemp("padded") / "v.webm"
    made(out, "-f", "lavfi", "-i", "testsrc=d=4:s=64x48:r=5", "-c:v", "libvpx", "-deadline", "realtime")
    with out.open("ab") as file:
        file.write(b"\xec" + (0x01 << 56 | PADDING).to_bytes(8, "big"))  # Matroska's element Void
        file.truncate(file.tell() + PADDING)
    return out


def test_a_file_may_be_larger_than_the_memory(padded: Path) -> None:
    assert probe(padded, Limits(60.0, 320 * 2**20))["duration"] == pytest.approx(4.0, abs=0.1)


def test_a_clip_is_not_looked_for_in_the_rest_of_its_file(padded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ManifestRow(video="0" * 20, url="x", source_id="x", start=1.0, end=2.0)
    row = linked(padded, **clipped(probe(padded, Limits(60.0, 2**32)), line))
    read: list[int] = []
    real = os.pread

    def counting(file: int, size: int, at: int) -> bytes:
        read.append(size)
        return real(file, size, at)

    monkeypatch.setattr(os, "pread", counting)
    with track.opened(padded, row.container) as container:
        frames = list(track.Decoder(container, track_of(row, [row.video_stream], padded)).frames())
    assert len(frames) >= 5
    assert sum(read) < 4 * 2**20


@pytest.mark.parametrize("at", [1, track.BLOCK - 3, track.BLOCK, 2 * track.BLOCK + 1])
def test_an_appended_file_is_found_wherever_it_begins(tmp_path: Path, at: int) -> None:
    header = b"FLV\x01\x05\x00\x00\x00\x09"
    file = tmp_path / "v"
    file.write_bytes(bytes(at) + header + bytes(100) + header)
    assert track._next_header(file, 1, "flv")[0] == at
    assert track._next_header(file, at + 1, "flv")[0] == at + 109
    assert track._next_header(file, at + 110, "flv")[0] is None
