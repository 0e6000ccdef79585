"""What a config asks for and what its work folder holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.calibrate import read_calibration
from pipeline.config import RunConfig
from pipeline.execute import Job
from pipeline.fingerprint import Fingerprint, fingerprints, needs_calibration
from pipeline.manifest import read_manifest
from pipeline.plan import Plan, make_plan
from pipeline.status import StageStatus, status
from pipeline.store import PartStore
from schemas.calibration import Calibration
from stages.base import Context, StageSetupError
from storyloom.errors import UsageError


@dataclass(frozen=True)
class Situation:
    """What a config asks for and what its work folder holds.

    Attributes:
        job: With the fingerprints that are known by now.
        plan: The parts.
        found: Fingerprints with their ingredients.
        duplicates: Lines of the manifest that repeated an earlier one.
    """

    job: Job
    plan: Plan
    found: dict[str, Fingerprint]
    duplicates: int

    def status(self) -> list[StageStatus]:
        """Where every stage stands."""
        return status(self.job, self.plan, self.found)

    def calibrated(self) -> Situation:
        """The same with the calibration and what hangs on it, once its parts are scored."""
        job = self.job
        if not needs_calibration(job.config) or job.calibration is not None or "score" not in self.found:
            return self
        pooled = self.plan.parts[: job.config.parts.group]
        calibration = read_calibration(job.store, job.digests["score"], pooled)
        if calibration is None:
            return self
        found = fingerprints(job.config, Context(job.config.seed, job.store.media, calibration))
        return replace(self, job=_job(job.config, calibration, found, job.selected), found=found)


def survey(config: RunConfig, selected: frozenset[str] = frozenset()) -> Situation:
    """Plan the manifest and see what its work folder holds.

    Args:
        config: The run's config.
        selected: Stages that the run is to bring up to date; none for who only looks.

    Raises:
        UsageError: The manifest or the work folder cannot be used.
    """
    config = config.model_copy(update={"work": str(Path(config.work).expanduser().absolute())})
    manifest, duplicates = read_manifest(config.manifest)
    store = PartStore(Path(config.work))
    store.prepare()
    plan = make_plan(manifest, store.plan, config.parts, config.seed)
    try:
        found = fingerprints(config, Context(config.seed, store.media))
    except StageSetupError as reason:
        raise UsageError(str(reason)) from reason
    return Situation(_job(config, None, found, selected), plan, found, duplicates).calibrated()


def _job(
    config: RunConfig, calibration: Calibration | None, found: dict[str, Fingerprint], selected: frozenset[str]
) -> Job:
    return Job(
        config,
        calibration,
        digests={name: one.digest for name, one in found.items()},
        revisions={name: str(one.ingredients["revision"]) for name, one in found.items()},
        selected=selected,
    )
