"""Finished datasets: the format, readers, checks, figures and exports. No torch at import, no ray, no stages.

`storyloom.open` looks into a dataset, `storyloom.run` makes one; both are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.from_python import run_from_python as run
    from storyloom.reader.documents import Documents

    __version__: str
    open = Documents  # noqa: A001 - as in gzip.open

__all__ = ["__version__", "open", "run"]

if not TYPE_CHECKING:  # else a type checker accepts any name of this module

    def __getattr__(name: str) -> Any:
        """A public name, looked up on first use: a trainer that only reads shards does not wait for the others."""
        if name == "__version__":
            from importlib.metadata import version

            return version("storyloom")
        if name == "open":
            from storyloom.reader.documents import Documents

            return Documents
        if name == "run":
            from pipeline.from_python import run_from_python

            return run_from_python
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
