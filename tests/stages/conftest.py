from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.downloads import CONTENT
from tests.http_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the demo video, on this machine."""
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A media folder that does not exist yet, and an empty cache of the machine."""
    monkeypatch.setenv("STORYLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "work" / "media"
