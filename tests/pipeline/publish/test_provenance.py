from __future__ import annotations

from pathlib import Path

from pipeline.publish.provenance import publishable
from pipeline.workspace import survey
from tests.runs import demo_config


def test_what_may_hold_a_token_or_a_path_is_not_published(tmp_path: Path) -> None:
    tokens = "download.site_extractor_args={youtube: {po_token: [web+TOKEN]}}"
    workspace = survey(demo_config(tmp_path, tokens, f"download.local_root={tmp_path}"))
    found = publishable(workspace, "download", workspace.config.stage("download").identity())
    assert "TOKEN" not in str(found)
    assert (found["local_root"], found["site_format"][:3]) == (tmp_path.name, "bv*")
