"""Which stages are on, and who reads whom."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.graph import Graph
from schemas.config import StageConfig
from stages.base import Input
from tests.machine import Echo, Measure, Pack, Share, Total, config
from tests.runs import demo_config

STAGES = (Measure, Echo, Total, Share, Pack)


def graph(**off: bool) -> Graph:
    return Graph.of(STAGES, {stage.name: stage.Config(enabled=off.get(stage.name, True)) for stage in STAGES})


def test_stages_stand_after_what_they_read(tmp_path: Path) -> None:
    for found in (graph(), demo_config(tmp_path).graph):
        for number, name in enumerate(found.names):
            assert set(found.upstream(name)) <= set(found.names[:number])


def test_what_is_downstream_is_found_however_far_it_is() -> None:
    assert graph().downstream({"measure"}) == {"measure", "echo", "total", "share", "pack"}
    assert graph().downstream({"echo"}) == {"echo", "share", "pack"}
    assert graph().downstream({"pack"}) == {"pack"}


def test_a_stage_waits_for_a_result_over_the_corpus_that_it_needs_through_others() -> None:
    found = {name: graph().waits_for(name) for name in graph().names}
    assert found == {
        "measure": frozenset(),
        "echo": frozenset(),
        "total": frozenset(),
        "share": {"total"},
        "pack": {"total"},
    }


def test_a_corpus_step_that_nothing_reads_is_left_out() -> None:
    assert graph(share=False, pack=False).names == ("measure", "echo")


def test_a_stage_that_reads_one_that_is_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"share reads echo, which is off; set echo\.enabled to true"):
        graph(echo=False)
    with pytest.raises(ValidationError, match=r"set measure\.enabled to true"):
        config(tmp_path, measure={"enabled": False})


def test_what_may_be_read_is_left_out_where_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pack, "reads", (Input("share", optional=True), Input("echo")))
    assert graph().upstream("pack") == ("share", "echo")
    assert graph(share=False).upstream("pack") == ("echo",)


def test_what_is_read_follows_from_the_config(tmp_path: Path) -> None:
    assert "calibrate" in demo_config(tmp_path).graph.names
    absolute = demo_config(tmp_path, "filter.threshold=0.2").graph
    assert ("calibrate" in absolute.names) == ("calibrate" in absolute.upstream("filter"))
    assert isinstance(demo_config(tmp_path).stage("filter"), StageConfig)
