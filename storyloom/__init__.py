"""Finished datasets: the format, readers, checks, figures and exports. No torch at import, no ray, no stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """The version, looked up on first use: a trainer that only reads shards does not wait for it."""
        if name == "__version__":
            from importlib.metadata import version

            return version("storyloom")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
