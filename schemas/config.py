"""What every config section has in common; each stage's own section lies beside the stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Operational:
    """Marks a field that changes how a stage runs but not what it returns."""


OPERATIONAL = _Operational()
"""``Annotated[int, OPERATIONAL]`` keeps a field out of the stage's fingerprint: changing it makes nothing stale."""


class Section(BaseModel):
    """Base of every config section: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Resources(Section):
    """What one worker of a stage takes, and how many workers there may be (the `ray` runner only).

    Attributes:
        cpus: Logical CPUs per worker.
        gpus: GPUs per worker; a fraction lets several workers share one.
        min_workers: Workers kept while there is work.
        max_workers: Upper bound; 0 stands for as many as the cluster's CPUs and GPUs allow.
    """

    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    min_workers: Annotated[int, Field(ge=1)] = 1
    max_workers: Annotated[int, Field(ge=0)] = 0


class StageConfig(Section):
    """Base of a stage's config section."""

    resources: Annotated[Resources, OPERATIONAL] = Resources()

    def identity(self) -> dict[str, Any]:
        """The fields that change the stage's output, as JSON-able values: what the fingerprint hashes."""
        operational = {
            name
            for name, field in type(self).model_fields.items()
            if any(isinstance(item, _Operational) for item in field.metadata)
        }
        return self.model_dump(mode="json", exclude=operational)


class RunnerConfig(Section):
    """How the work is run; nothing here changes the output.

    Attributes:
        kind: `inline` runs in this process, `ray` on a Ray cluster; `auto` takes `ray` when an address is given or
            there are more than `auto_inline_parts` parts to do, otherwise `inline`.
        address: Ray address, e.g. ``ray://head:10001`` or ``auto``; empty starts a local Ray.
        auto_inline_parts: Up to so many parts, `auto` stays inline: Ray's start takes longer than they do (our choice).
    """

    kind: Literal["auto", "inline", "ray"] = "auto"
    address: str = ""
    auto_inline_parts: Annotated[int, Field(ge=0)] = 8


class PartsConfig(Section):
    """How the manifest is cut into parts.

    Attributes:
        videos: Videos per part (our choice: small enough to retry, large enough to fill a batch).
        group: Parts whose documents are shuffled together and packed into shards; also how many parts are pooled
            for calibration (our choice: it bounds both).
    """

    videos: Annotated[int, Field(ge=1)] = 4
    group: Annotated[int, Field(ge=1)] = 64
