"""Duplicates: videos with the same content under several names."""

from __future__ import annotations

from storyloom.format.model import Model


class Duplicates(Model):
    """The videos of a corpus whose content another one has.

    Attributes:
        same_as: By the key of each such video, the manifest's id of the one that is kept.
    """

    same_as: dict[str, str] = {}
