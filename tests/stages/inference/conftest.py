from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.inference import server
from tests.chat_server import ChatServer, chatting
from tests.language_model import speaking
from tests.stages.inference.asked import Seen


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    """A server that answers by rule."""
    with chatting() as found:
        yield found


@pytest.fixture
def turns(tmp_path: Path) -> Seen:
    """Turns of this test alone."""
    return Seen(tmp_path / "turns")


@pytest.fixture(scope="session")
def language_model() -> Iterator[str]:
    """The address of a server with a small real model."""
    with speaking() as url:
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next tries come after hundredths of a second."""
    monkeypatch.setattr(server, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(server, "LONGEST_PAUSE", 0.05)
