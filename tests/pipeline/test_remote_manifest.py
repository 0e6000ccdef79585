"""Manifests elsewhere: lists behind URLs, and prefixes of object stores."""

from __future__ import annotations

import gzip
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest
from storyloom.errors import UsageError
from tests.manifests import rows as rows_of


@pytest.fixture
def store() -> Iterator[Any]:
    """An object store in memory."""
    made = fsspec.filesystem("memory")
    yield made
    if made.exists("/bucket"):
        made.rm("/bucket", recursive=True)


@pytest.mark.parametrize("name", ["l.csv", "l.csv.gz", "l.parquet"])
def test_a_list_in_an_object_store_is_read(store: Any, name: str) -> None:
    text = "url,title\na.mp4,A\ns3://other/b.mp4,B\n"
    content = {"l.csv": text.encode(), "l.csv.gz": gzip.compress(text.encode())}.get(name)
    if content is None:
        sink = io.BytesIO()
        pq.write_table(pa.table({"url": ["a.mp4", "s3://other/b.mp4"], "title": ["A", "B"]}), sink)
        content = sink.getvalue()
    store.pipe(f"/bucket/lists/{name}", content)
    rows = rows_of(read_manifest(f"memory://bucket/lists/{name}").rows)
    assert [(row.location, row.title) for row in rows] == [
        ("memory://bucket/lists/a.mp4", "A"),
        ("s3://other/b.mp4", "B"),
    ]


def test_a_remote_list_names_no_files_of_this_machine(store: Any, tmp_path: Path) -> None:
    store.pipe("/bucket/l.txt", f"a.mp4\n/etc/passwd\n~/x.mp4\nFILE://{tmp_path}/v.mp4\n".encode())
    rows = rows_of(read_manifest("memory://bucket/l.txt").rows)
    assert [row.problem for row in rows] == ["", *["a remote list names no files of this machine"] * 3]


def test_a_prefix_of_an_object_store_is_listed(store: Any) -> None:
    for name in ("a.mp4", "sub/b.webm", "sub/b.en.vtt", "notes.txt", "x.tar"):
        store.pipe(f"/bucket/media/{name}", b"x")
    rows, told = read_manifest("memory://bucket/media/")
    assert rows["url"].to_pylist() == ["memory://bucket/media/a.mp4", "memory://bucket/media/sub/b.webm"]
    assert told == ("passed over in the folder: 2 files (1 .txt, 1 .tar)",)
    assert read_manifest("memory://bucket/media/*.mp4").rows["url"].to_pylist() == ["memory://bucket/media/a.mp4"]


def test_tars_of_an_object_store_are_read_by_range(store: Any) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, content in (("0.json", b'{"title": "T"}'), ("0.mp4", b"video")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    store.pipe("/bucket/tars/0.tar", sink.getvalue())
    for manifest in ("memory://bucket/tars/", "memory://bucket/tars/*.tar", "memory://bucket/tars/0.tar"):
        (row,) = rows_of(read_manifest(manifest).rows)
        assert (row.source_id, row.title) == ("memory://bucket/tars/0.tar#0.mp4", "T")
        assert row.location == "memory://bucket/tars/0.tar"
        assert sink.getvalue()[row.offset : row.offset + row.size] == b"video"


def test_a_url_of_one_video_is_a_manifest() -> None:
    (row,) = rows_of(read_manifest("https://example.org/a.mp4?sig=5ecret").rows)
    assert (row.location, row.source_id) == ("https://example.org/a.mp4?sig=5ecret", "https://example.org/a.mp4")


def test_a_list_behind_a_signed_url_is_read_and_its_signature_told_nobody(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.mp4\n")
    (tmp_path / "page").write_text("<!DOCTYPE html><p>Videos</p>")
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        try:
            (row,) = rows_of(read_manifest(f"{host}/l.txt?sig=5ecret").rows)
            assert row.location == f"{host}/a.mp4"
            for name, says in (
                ("gone.csv", "no manifest"),
                ("page", "it is a page"),
                ("dir/", "no way to list a folder"),
            ):
                with pytest.raises(UsageError, match=says) as refused:
                    read_manifest(f"{host}/{name}{'' if name.endswith('/') else '?sig=5ecret'}")
                assert "5ecret" not in str(refused.value)
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize("url", ["nowhere://bucket/l.txt", "memory://bucket/none/", "memory://bucket/none.txt"])
def test_what_is_not_there_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="manifest"):
        read_manifest(url)


def test_a_folder_of_a_store_needs_no_slash() -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe_file("/without/slash/a.mp4", b"video")
    rows = rows_of(read_manifest("memory://without/slash").rows)
    assert [row.url for row in rows] == ["memory://without/slash/a.mp4"]


def test_a_file_url_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "a list.txt").write_text("a.mp4\n")
    (row,) = rows_of(read_manifest(f"file://{tmp_path}/a%20list.txt").rows)
    assert row.location == str(tmp_path / "a.mp4")
