from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site import Site, serving_site


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A video site on this machine."""
    with serving_site(monkeypatch) as made:
        yield made
