"""How a dataset was made, for its card: config, fingerprints, revisions, tools, funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pipeline.execute import Job
from pipeline.fingerprint import Fingerprint
from pipeline.funnel import funnel
from pipeline.status import StageStatus
from storyloom.format.manifest import Provenance

TOOLS = ("storyloom", "faster-whisper", "open-clip-torch", "pyarrow", "torch")
"""Packages whose version can change the output."""


def provenance(job: Job, found: Mapping[str, Fingerprint], after: Sequence[StageStatus]) -> Provenance:
    """The provenance of a run that is complete."""
    return Provenance(
        config={name: _without_folders(one.ingredients["config"]) for name, one in found.items()}
        | {"seed": job.config.seed},
        fingerprints={name: one.digest for name, one in found.items()},
        revisions={
            name: str(one.ingredients["revision"]) for name, one in found.items() if one.ingredients["revision"]
        },
        tools={name: metadata.version(name) for name in TOOLS},
        funnel=[
            {"what": row.what, "found": row.found, "kept": row.kept}
            | {f"dropped: {reason}": n for reason, n in row.dropped.items()}
            | {f"failed: {code}": n for code, n in row.failed.items()}
            for row in funnel(after)
        ],
    )


def _without_folders(config: Any) -> dict[str, Any]:
    """A stage's config with local paths cut to their last step: a dataset says nothing of the machine it came from."""
    return {
        key: value.rsplit("/", 1)[-1]
        if isinstance(value, str) and value.removeprefix("local-dir:").startswith("/")
        else value
        for key, value in config.items()
    }
