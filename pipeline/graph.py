"""The graph of the enabled stages and their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.config import StageConfig
from stages.base import CorpusStep, GroupStage, Input
from stages.registry import AnyStageClass, inputs_of


@dataclass(frozen=True)
class Graph:
    """The stages that are on, each after what it reads.

    Attributes:
        stages: By name, in the order of execution.
        inputs: Inputs of each stage, by its name.
    """

    stages: Mapping[str, AnyStageClass]
    inputs: Mapping[str, tuple[Input, ...]]

    @classmethod
    def of(cls, registered: Iterable[AnyStageClass], sections: Mapping[str, StageConfig]) -> Graph:
        """The graph by the sections of a config; a corpus step without a reader is left out, unless it is told.

        Raises:
            ValueError: A stage that is on reads one that is off.
            StageNotUsable: A stage reads what is not there.
        """
        known = {stage.name: stage for stage in registered}
        on = {name: stage for name, stage in known.items() if sections[name].enabled}
        inputs = {}
        for name, stage in on.items():
            asked = inputs_of(stage, sections[name], known)
            if missing := [one.stage for one in asked if one.stage not in on and not one.optional]:
                raise ValueError(f"{name} reads {missing[0]}, which is off; set {missing[0]}.enabled to true")
            inputs[name] = tuple(one for one in asked if one.stage in on)
        read = {one.stage for some in inputs.values() for one in some}
        stages = {n: stage for n, stage in on.items() if n in read or not issubclass(stage, CorpusStep) or stage.told}
        return cls(stages, {name: inputs[name] for name in stages})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, in the order of execution."""
        return tuple(self.stages)

    @property
    def corpus_steps(self) -> tuple[str, ...]:
        """Names of the steps over the corpus."""
        return tuple(name for name, stage in self.stages.items() if issubclass(stage, CorpusStep))

    @property
    def group_stages(self) -> tuple[str, ...]:
        """Names of the stages whose unit is a group."""
        return tuple(name for name, stage in self.stages.items() if issubclass(stage, GroupStage))

    def upstream(self, name: str) -> tuple[str, ...]:
        """The stages that a stage reads directly."""
        return tuple(dict.fromkeys(one.stage for one in self.inputs[name]))

    def read_by(self, names: Iterable[str]) -> frozenset[str]:
        """The stages that the named stages read, directly or not."""
        found: set[str] = set()
        for name in reversed(self.names):
            if name in names or name in found:
                found.update(self.upstream(name))
        return frozenset(found)

    def downstream(self, names: Iterable[str]) -> frozenset[str]:
        """The named stages and every stage that reads one of them, directly or not."""
        reached = set(names)
        for name in self.stages:
            if reached.intersection(self.upstream(name)):
                reached.add(name)
        return frozenset(reached & set(self.stages))

    def waits_for(self, name: str) -> frozenset[str]:
        """The corpus steps whose result a stage needs, directly or through what it reads."""
        found = {one for one in self.upstream(name) if one in self.corpus_steps}
        return frozenset(found.union(*(self.waits_for(one) for one in self.upstream(name) if one not in found)))
