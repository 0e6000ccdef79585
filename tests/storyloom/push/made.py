"""Datasets to push."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.write.stage import VideoDocuments, WriteConfig
from storyloom.push.push import PushPlan, plan_push, push
from storyloom.push.target import Target
from storyloom.validate.spread import in_this_process
from tests.documents import dataset, document, video


def licensed(name: str, license_name: str = "CC-BY-4.0") -> VideoDocuments:
    one = video(name, document(0, words=f"*so* here | {name}"))
    return one._replace(manifest=one.manifest.model_copy(update={"license": license_name}))


def mugs(folder: Path, *names: str, shard_bytes: int = 10_000) -> Path:
    """A dataset of one document a video; three of them make two shards."""
    videos = [licensed(name) for name in names or ("one", "two", "three")]
    dataset(folder, [videos], WriteConfig(name="mugs", shard_bytes=shard_bytes))
    return folder / "out"


def planned(output: Path, target: Target, **options: Any) -> PushPlan:
    return plan_push(output, target, spread=in_this_process, **options)


def pushed(output: Path, target: Target, **options: Any) -> PushPlan:
    plan = planned(output, target, **options)
    push(plan)
    return plan
