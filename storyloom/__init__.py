"""Finished datasets: the format, readers, checks, figures and exports. No torch at import, no ray, no stages."""

from importlib.metadata import version

__version__ = version("storyloom")
