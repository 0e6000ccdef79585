"""A run publishes and prints nothing of a URL that only its owner may know."""

from __future__ import annotations

import csv
import io
import json
import logging
import secrets
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.cli import app, main
from pipeline.manifest.batch import Told, extra_json
from tests.http_server import Server, serving
from tests.runs import ROOT, clip

PASSWORD, SIGNATURE = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
"""Of this test's run alone."""


def signed(server: Server, path: str) -> str:
    return f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}/{path}?v=1&X-Signature={SIGNATURE}"


def said(name: str, *arguments: str) -> str:
    result = CliRunner().invoke(app, [name, *arguments])
    return f"{result.output}{result.exception or ''}"


def texts(file: Path) -> Iterator[bytes]:
    """What a file holds, unpacked."""
    content = file.read_bytes()
    yield content
    if file.suffix == ".parquet":
        table = pq.read_table(io.BytesIO(content))
        yield b"\n".join(str(column).encode() for column in table.drop_columns(_pictures(table)).to_pylist())
        yield str(table.schema.metadata).encode()
    if file.suffix == ".tar":
        with tarfile.open(file) as tar:
            yield from (found.read() for info in tar if (found := tar.extractfile(info)) is not None)


def _pictures(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name in ("jpegs", "embedding")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over a good video and over failures, with exports and a page; `printed` has what it said."""
    folder = tmp_path_factory.mktemp("secrets")
    short = clip(folder / "short.mp4", 9.0, 12.0).read_bytes()
    printed = []
    with serving(short) as server:
        with (folder / "videos.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["url", "subtitles"])
            for path in ("good.mp4", "gone", "cut_always", "error_always", "page"):
                rows.writerow([signed(server, path), signed(server, "gone")])
        places = [f"manifest={folder / 'videos.csv'}", f"work={folder / 'work'}", f"output={folder / 'out'}"]
        settings = [
            "download.allow_private_addresses=true",
            "download.attempts=1",
            "runner.kind=inline",
            "runner.max_failed_share=1.0",
        ]
        settings += [
            "runner.max_failed_share=1.0",
            "runner.profile=true",
            "filter.min_words=1",
            "filter.mode=time",
            "filter.threshold=-1.0",
        ]
        changes = [part for one in [*places, *settings] for part in ("--set", one)]
        config = str(ROOT / "configs" / "demo.yaml")
        out = str(folder / "out")
        printed += [said("run", config, *changes), said("status", config, *changes), said("report", config, *changes)]
        printed += [said("status", config, *changes, "--json"), said("show", out), said("stats", out)]
        printed += [said("stats", out, "--html", str(folder / "page.html"), "--config", config, *changes)]
        printed += [said("validate", out)]
        printed += [said("export", out, str(folder / name), "--to", name) for name in ("obelics", "mmc4", "ms-swift")]
    (folder / "printed").write_text("\n".join(printed), encoding="utf-8")
    (folder / "videos.csv").unlink()
    return folder


def test_no_file_and_no_line_holds_a_password_or_a_signature(folder: Path) -> None:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    manifests = {file for file in files if "manifests" in file.parts}
    holding = {
        str(file.relative_to(folder))
        for file in set(files) - manifests
        if any(secret.encode() in text for text in texts(file) for secret in (PASSWORD, SIGNATURE))
    }
    assert holding == set()
    names = "\n".join(map(str, files))
    assert PASSWORD not in names
    assert SIGNATURE not in names


def test_the_manifest_as_workers_read_it_is_its_owner_s_alone(folder: Path) -> None:
    (file,) = (folder / "work" / "manifests").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert any(SIGNATURE.encode() in text for text in texts(file))


def test_the_run_came_through(folder: Path) -> None:
    printed = (folder / "printed").read_text()
    assert "download.not_found" in printed
    shards = list((folder / "out").rglob("*.tar"))
    assert any(b"/good.mp4?v=1" in text for shard in shards for text in texts(shard))
    assert (folder / "page.html").exists()


@pytest.mark.parametrize("value", ["https://u:{}@a.example/x?sig={}", "gopher://\x1b]0;{}\x07@a.example/{}@"])
def test_a_message_of_a_command_quotes_a_value_without_secrets(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(ROOT / "configs" / "demo.yaml")
    changes = ["--set", f"output={value.replace('{}', PASSWORD)}"]
    monkeypatch.setattr("sys.argv", ["storyloom", "status", config, *changes])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().err
    assert "output" in printed
    assert "\x1b" not in printed
    assert f"{PASSWORD}@a" not in printed
    assert f"sig={PASSWORD}" not in printed


def test_httpx_logs_no_request() -> None:
    import stages.download.web  # noqa: F401 - which sets the level

    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)


def test_a_url_among_other_columns_is_published_without_secrets() -> None:
    values = {"thumb": "https://u:p@a.example/x.jpg?sig=abc", "all": ["s3://k:s@b/x"], "note": "see https://a.example"}
    assert json.loads(extra_json(values, Told())) == {
        "thumb": "https://a.example/x.jpg",
        "all": ["s3://b/x"],
        "note": "see https://a.example",
    }
