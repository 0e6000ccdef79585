"""What licences say of passing a dataset on, and the refusal where they do not allow it."""

from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from storyloom.format.manifest import finished_dataset
from storyloom.push.licences import MayNotBePassedOn, check_licences, licences
from storyloom.push.target import FolderTarget
from tests.documents import dataset
from tests.storyloom.push.made import licensed, planned, pushed

ALLOWED = (
    "CC-BY-4.0",
    "CC BY-NC-SA 3.0",
    "cc0",
    "CC0-1.0",
    "Public Domain Mark 1.0",
    "by-sa",
    "Creative Commons Attribution license (reuse allowed)",
    "https://creativecommons.org/licenses/by-nc/4.0/",
    "ODC-BY-1.0",
    "Apache-2.0",
)
FORBIDDEN = (
    "CC-BY-ND-4.0",
    "by-nc-nd",
    "https://creativecommons.org/licenses/by-nd/2.0/",
    "Standard YouTube License",
    "All Rights Reserved",
    "Creative Commons Attribution-NoDerivs",
)
UNKNOWN = (
    *("", "ask me", "bypass", "cc", "mitigated", "by whom?", "Not in the public domain", "CC0 except the music"),
    *("BSD-like, no redistribution", "public domain (photos only); video (c) me", "CC-BY-4.0 with permission"),
    "https://creativecommons.org/licenses/by/4.0/ but not the sound",
)


@pytest.mark.parametrize(
    ("names", "kind"), [(ALLOWED, "allowed"), (FORBIDDEN, "forbidden"), (UNKNOWN, "unknown")], ids=str
)
def test_a_licence_is_what_it_says(names: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    videos = [licensed(f"v{n}", name) for n, name in enumerate(names)]
    dataset(tmp_path, [videos], WriteConfig())
    assert set(getattr(licences(finished_dataset(tmp_path / "out")), kind)) == set(names)


def test_a_dataset_that_may_not_be_passed_on_is_refused_with_counts_and_the_flag(tmp_path: Path) -> None:
    videos = [licensed("a"), licensed("b", "CC-BY-ND-4.0"), licensed("c", ""), licensed("d", "ask me")]
    dataset(tmp_path, [videos], WriteConfig())
    with pytest.raises(MayNotBePassedOn) as refused:
        planned(tmp_path / "out", FolderTarget(tmp_path / "there"))
    said = str(refused.value)
    assert "of 4 documents" in said
    assert "1 document under a licence that forbids it (CC-BY-ND-4.0: 1)" in said
    assert "2 documents under a licence that is unknown" in said
    assert "none: 1" in said
    assert "--any-licence" in said
    assert not (tmp_path / "there").exists()
    pushed(tmp_path / "out", FolderTarget(tmp_path / "there"), any_licence=True)
    assert (tmp_path / "there" / "manifest.json").exists()


def test_a_dataset_of_free_licences_passes(tmp_path: Path) -> None:
    dataset(tmp_path, [[licensed("a"), licensed("b", "CC0-1.0")]], WriteConfig())
    check_licences(finished_dataset(tmp_path / "out"))
