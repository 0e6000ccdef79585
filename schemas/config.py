"""Base classes of the config sections; each stage defines its own section in its folder."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo


class _Operational:
    """Marks a field that changes how a stage runs but not what it returns."""


OPERATIONAL = _Operational()
"""``Annotated[int, OPERATIONAL]`` keeps a field out of the stage's fingerprint: changing it makes nothing stale."""


def is_operational(field: FieldInfo) -> bool:
    """Whether a field is marked as `OPERATIONAL`."""
    return any(isinstance(item, _Operational) for item in field.metadata)


LONGEST = 14 * 86400.0
"""Most seconds of any limit: two weeks, under the 24.8 days that poll(2) can wait (our choice)."""

MOST_MEMORY = 2**44
"""Most bytes of memory, 16 TiB: more is a mistake, and far more is no limit that the system can set (our choice)."""

LEAST_MEMORY = 2**29
"""Fewest bytes of address space of a child, 512 MiB: with an eighth of it no file can be read (our choice)."""


class Section(BaseModel):
    """Base of every config section: unknown keys are errors, numbers are finite, values do not change after loading.

    Each number of ours has bounds on both sides; they are our choice where nothing else is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` where a number belongs; pydantic would take it for 1."""
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and field is not None and _numbers_in(field.annotation):
            raise ValueError("a number is wanted, not true or false")
        return value

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, content: Any) -> Any:
        """Take a section whose lines are all commented out, null in YAML, as an empty one."""
        if not isinstance(content, dict):
            return content
        sections = {
            name
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        }
        return {key: {} if value is None and key in sections else value for key, value in content.items()}


def _numbers_in(annotation: Any) -> bool:
    """Whether a field's type is a number, or one of several that is."""
    return annotation in (int, float) or any(_numbers_in(one) for one in get_args(annotation))


Auto = Literal["auto"]


class Resources(Section):
    """Resources of one worker of a stage, and the number of workers (the `ray` runner only).

    Attributes:
        cpus: Logical CPUs per worker; reduced where the cluster has too few for one worker of every stage.
        gpus: GPUs per worker; a fraction lets several workers share one. ``auto`` is an equal share for each stage
            that uses one where the cluster has GPUs, half for transcribe and score; none elsewhere (our choice).
        memory: Bytes that Ray reserves per worker; 0 reserves none.
        min_workers: Least workers while there is work.
        max_workers: Most workers; 0 stands for as many as fit the cluster's CPUs and GPUs.
        parts_at_once: Parts that a worker processes at once: with 2, the next one is decoded, and the previous one
            written, while the model works on another. ``auto`` is 2 for a worker with a GPU, which must not idle, and 1
            for others (our choice).
        tasks_in_flight: Parts that are queued at a worker, those in process included; 0 stands for twice
            `parts_at_once`, the least with which Ray lets a pool grow.
    """

    cpus: Annotated[float, Field(gt=0, le=4096)] = 1.0
    gpus: Auto | Annotated[float, Field(ge=0, le=1024)] = "auto"
    memory: Annotated[int, Field(ge=0, le=MOST_MEMORY)] = 0
    min_workers: Annotated[int, Field(ge=1, le=100_000)] = 1
    max_workers: Annotated[int, Field(ge=0, le=100_000)] = 0
    parts_at_once: Auto | Annotated[int, Field(ge=1, le=1000)] = "auto"
    tasks_in_flight: Annotated[int, Field(ge=0, le=100_000)] = 0

    @model_validator(mode="after")
    def _pool(self) -> Self:
        if 0 < self.max_workers < self.min_workers:
            raise ValueError(f"max_workers ({self.max_workers}) is under min_workers ({self.min_workers})")
        if self.parts_at_once != "auto" and 0 < self.tasks_in_flight < self.parts_at_once:
            raise ValueError(f"tasks_in_flight ({self.tasks_in_flight}) is under parts_at_once ({self.parts_at_once})")
        return self


class StageConfig(Section):
    """Base of a stage's config section.

    Attributes:
        enabled: Whether the stage is on. A stage that is off costs and writes nothing.
        resources: Resources of a worker, and the number of workers.
    """

    enabled: Annotated[bool, OPERATIONAL] = True
    resources: Annotated[Resources, OPERATIONAL] = Resources()

    @property
    def uses_gpu(self) -> bool:
        """Whether the stage uses a GPU where there is one."""
        return False

    @property
    def files_go(self) -> bool:
        """Whether the files that the stage's rows name go once all that read them are done (`Stage.spent`)."""
        return False

    @property
    def files_stay_here(self) -> bool:
        """Whether the files that the stage's rows name are seen by no other machine than the one that wrote them."""
        return False

    @property
    def packages(self) -> tuple[str, ...]:
        """Import names of the packages that these settings need beside those of the extra `run`."""
        return ()

    @property
    def for_trying(self) -> tuple[str, ...]:
        """The names of its settings that name a model which is for trying only."""
        return ()

    def identity(self) -> dict[str, Any]:
        """The fields that change the stage's output, as JSON-able values: what the fingerprint hashes."""
        operational = {name for name, field in type(self).model_fields.items() if is_operational(field)}
        return self.model_dump(mode="json", exclude=operational)


class RunnerConfig(Section):
    """How units are run; nothing here changes the output.

    Attributes:
        kind: `inline` runs in this process, `ray` on a Ray cluster; `auto` takes `ray` when an address is given, or
            when Ray is installed and there are more than `auto_inline_parts` parts, otherwise `inline`.
        address: Ray address, e.g. ``ray://head:10001`` or ``auto``; empty starts a local Ray.
        auto_inline_parts: Most parts with which `auto` is inline: Ray's start takes longer than they do (our choice).
        max_failed_share: Share of failed videos, 0 to 1, over which a run ends with exit code 1 and publishes nothing
            (our choice).
        stall_seconds: Seconds without a finished part after which Ray's work is cancelled and restarted over the
            missing parts; must exceed the time of the slowest part (our choice; Ray's default is 1,800).
        grace_seconds: Seconds for which a worker that is told to end by SIGTERM, as before a spot machine is taken
            back, goes on with the part that it has in hand; then it drops it. 0 drops it at once (our choice: below
            the 30 s that Google Cloud, Azure and Kubernetes give).
        price_per_hour: What an hour of all the machines of a run costs, in any currency; estimates then say what the
            run costs. 0 says nothing.
        profile: Whether workers measure the time of each part by kind of work.
    """

    kind: Literal["auto", "inline", "ray"] = "auto"
    address: str = ""
    auto_inline_parts: Annotated[int, Field(ge=0, le=10**9)] = 8
    max_failed_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    stall_seconds: Annotated[float, Field(gt=0.0, le=LONGEST)] = 7200.0
    grace_seconds: Annotated[float, Field(ge=0.0, le=LONGEST)] = 20.0
    price_per_hour: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    profile: bool = False


class PricesConfig(Section):
    """Prices by which `plan --estimate` says what a list costs, in any currency, beside `runner.price_per_hour`.

    Attributes:
        storage: A GB (1e9 bytes) of work and output for a month; 0 leaves storage out.
        requests: A thousand requests that write an object; 0 leaves requests out.
        egress: A GB of media that is read out of its store, as from another region or cloud; 0 leaves it out.
    """

    storage: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    requests: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    egress: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0


class PartsConfig(Section):
    """How the manifest is cut into parts, and which of them are worked on.

    Attributes:
        videos: Videos per part (our choice: small enough to retry, large enough to fill a batch).
        group: Parts whose documents are shuffled together and packed into shards; also how many parts are pooled
            for calibration (our choice: it bounds both).
        limit: Videos to work on, the first ones of the plan; 0 stands for all.
        sample: Share of the videos to work on: each is drawn for itself, by its key and the seed, so that a short list
            gives roughly the share, and a larger share has the smaller one in it. Both are rounded up to whole parts,
            so that a run over more videos goes on with what is done.
    """

    videos: Annotated[int, Field(ge=1, le=10_000)] = 4
    group: Annotated[int, Field(ge=1, le=100_000)] = 64
    limit: Annotated[int, Field(ge=0, le=10**9)] = 0
    sample: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
