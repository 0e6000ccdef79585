"""How fast one process reads documents, against webdataset's own loop over them: `python -m benchmarks.feeding`.

Shards of photos as frames are written by the real writer, then read from the disk and from a web server on this machine
that waits 20 ms before each answer: by webdataset, by the reader in the written order, and by it shuffled; without and
with decoding of the JPEGs. The sides take turns; medians are printed, and what a bare loop over Pillow decodes.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.speed.rounds import Contender, Side, interleaved, timed
from pipeline.publish.publish import publish
from schemas.manifest import ManifestRow
from schemas.row import video_key
from schemas.rows import DocumentDraft, DocumentFrame, DocumentsRow, DocumentText, FramesRow, SampledFrame
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.format.manifest import Provenance
from storyloom.fs.files import files_at
from storyloom.reader import Document, DocumentDataset

FRAMES = 12
"""Frames of a document, with a sentence each: 48 s at one each 4 s."""

SIZE = (640, 360)
"""Pixels of a frame, as `sample` writes them of a 16:9 video by default."""

SENTENCE = "And now we take the smaller one of the two and put it here on the left, so that it stands by itself."

PHOTOS = Path("../shared/data/flickr8k/images")


def frames_of(photos: Path) -> list[bytes]:
    """Photos of a folder as JPEG frames, by name.

    Args:
        photos: The folder.
    """
    found: list[bytes] = []
    for path in sorted(photos.glob("*.jpg")):
        file = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize(SIZE).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def write_dataset(folder: Path, documents: int, shard_bytes: int, jpegs: list[bytes]) -> Path:
    """Write documents of these frames, each a video of its own; frames come again after the last one."""
    config = WriteConfig(name="feeding", shard_bytes=shard_bytes, max_images=FRAMES)
    shards = write_group((_video(n, jpegs) for n in range(documents)), folder / "work", config, 0)
    provenance = Provenance(config={}, fingerprints={}, revisions={}, tools={})
    publish(
        [shards], [files_at(folder / "work")], files_at(folder / "rests"), files_at(folder / "out"), config, provenance
    )
    return folder / "out"


def _video(number: int, jpegs: list[bytes]) -> VideoDocuments:
    url = f"https://videos.example.org/{number}.mp4"
    manifest = ManifestRow(video=video_key(url), url=url, source_id=str(number), published_url=url, title="A video")
    times = [4.0 * n + 1.0 for n in range(FRAMES)]
    draft = DocumentDraft(
        number=0,
        start=0.0,
        end=4.0 * FRAMES,
        language="en",
        frames=[DocumentFrame(frame=n, time=at, text=n, similarity=0.25, shift=0.0) for n, at in enumerate(times)],
        texts=[DocumentText(start=at - 0.5, end=at + 2.5, text=f"{SENTENCE} {at}", source="asr") for at in times],
    )
    shown = [
        SampledFrame(time=at, start=at, scene=0, width=SIZE[0], height=SIZE[1], black=0.0, sharpness=0.0)
        for at in times
    ]
    pictures = [jpegs[(number * FRAMES + n) % len(jpegs)] for n in range(FRAMES)]
    row = DocumentsRow(video=manifest.video, documents=[draft])
    frames = FramesRow.model_construct(video=manifest.video, frames=shown, jpegs=pictures)
    return VideoDocuments(manifest, row, lambda: frames)


class Handler(BaseHTTPRequestHandler):
    """Answers with a file or a byte range of it, after `latency` seconds."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer in two parts waits for the client to acknowledge the first
    folder = Path()
    latency = 0.0

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        time.sleep(self.latency)
        file = self.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        first, last = (int(wanted[1]), min(size, int(wanted[2] or size) + 1)) if wanted else (0, size)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{size}")
        self.send_header("Content-Length", str(last - first))
        self.send_header("ETag", f'"{size}-{file.stat().st_mtime_ns}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.flush()
            with file.open("rb") as opened:
                self.connection.sendfile(opened, first, last - first)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


class Server(ThreadingHTTPServer):
    """Takes a reader's connections however many it opens at once: those beyond the queue would wait for seconds."""

    request_queue_size = 128


def serve(folder: str, latency: float) -> None:
    """A server in this process, which prints its port."""
    Handler.folder, Handler.latency = Path(folder), latency
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()


@contextmanager
def served(folder: Path, latency: float) -> Iterator[str]:
    """The URL of a folder, served by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.feeding", "--serve", str(folder), "--latency", str(latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()


def by_webdataset(place: str, shards: list[str], *, decode: bool) -> tuple[int, int]:
    """Documents and images that webdataset's own loop gives."""
    import webdataset as wds

    samples: Iterable[dict[str, Any]] = wds.WebDataset([f"{place}/{shard}" for shard in shards], shardshuffle=False)
    if decode:
        samples = wds.WebDataset([f"{place}/{shard}" for shard in shards], shardshuffle=False).decode("rgb8")
    documents = images = 0
    for sample in samples:
        documents += 1
        images += sum(key.endswith("jpg") for key in sample)
    return documents, images


def by_reader(place: str, *, decode: bool, shuffle: bool) -> tuple[int, int]:
    """Documents and images that `DocumentDataset` gives."""
    documents = images = 0
    for document in DocumentDataset(place, shuffle=shuffle):
        documents += 1
        images += len(decoded(document)) if decode else len(document.frames)
    return documents, images


def decoded(document: Document) -> list[Any]:
    """The pictures of a document."""
    return [frame.pixels() for frame in document.frames]


def by_pillow(jpegs: list[bytes], documents: int) -> tuple[int, int]:
    """Documents and images whose pictures are decoded out of memory, with nothing else done."""
    import numpy as np

    images = documents * FRAMES
    for number in range(images):
        with Image.open(io.BytesIO(jpegs[number % len(jpegs)])) as image:
            np.asarray(image)
    return documents, images


def compared(out: Path, place: str, documents: int, rounds: int, jpegs: list[bytes]) -> dict[str, Any]:
    """Documents and images per second of each side, and what they are of webdataset's.

    Args:
        out: The dataset.
        place: Its folder or URL, from which it is read.
        documents: It has so many.
        rounds: Least rounds.
        jpegs: Its frames where they are decoded, which a bare loop over Pillow does beside the others; else empty.
    """
    decode = bool(jpegs)
    shards = sorted(str(path.relative_to(out)) for path in out.rglob("*.tar"))
    runs: dict[str, Callable[[], tuple[int, int]]] = {
        "webdataset": partial(by_webdataset, place, shards, decode=decode),
        "reader": partial(by_reader, place, decode=decode, shuffle=False),
        "reader shuffled": partial(by_reader, place, decode=decode, shuffle=True),
    }
    if decode:
        runs["pillow alone"] = partial(by_pillow, jpegs, documents)
    for name, run in runs.items():  # also opens connections and fills the page cache
        if (found := run()) != (documents, documents * FRAMES):
            raise AssertionError(f"{name} gave {found} documents and images")
    sides = interleaved([Contender(name, "ours", partial(timed, run)) for name, run in runs.items()], rounds)
    megabytes = round(sum((out / shard).stat().st_size for shard in shards) / 1e6, 1)
    figures = {side.name: _figures(side, sides[0], documents) for side in sides}
    return {"documents": documents, "shards": len(shards), "megabytes": megabytes, "sides": figures}


def _figures(side: Side, peer: Side, documents: int) -> dict[str, float]:
    assert side.median is not None
    assert peer.median is not None
    return {
        "documents_per_s": round(documents / side.median, 1),
        "images_per_s": round(documents * FRAMES / side.median),
        "of_webdataset": round(peer.median / side.median, 2),
        "rounds": len(side.seconds),
    }


def main() -> None:
    """Measure, and print a JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feeding", description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of JPEGs that become the frames")
    parser.add_argument("--documents", type=int, default=600, help="that are read without decoding")
    parser.add_argument("--decoded", type=int, default=200, help="documents that are read and decoded")
    parser.add_argument("--shard-mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer of the server")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.latency)
        return
    jpegs = frames_of(asked.photos)
    if not jpegs:
        parser.error(f"there is no JPEG in {asked.photos}: give --photos")
    found: dict[str, Any] = {}
    for documents, decode in ((asked.documents, False), (asked.decoded, True)):
        with tempfile.TemporaryDirectory() as folder:
            out = write_dataset(Path(folder), documents, asked.shard_mib * 2**20, jpegs)
            with served(out, asked.latency) as url:
                for name, place in {"disk": str(out), "http": url}.items():
                    what = f"{name}, decoded" if decode else name
                    found[what] = compared(out, place, documents, asked.rounds, jpegs if decode else [])
    print(json.dumps(found, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
