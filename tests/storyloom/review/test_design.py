"""The pairs that are drawn: by score, seeded, spread over documents, whatever the order of the shards."""

from collections import Counter
from pathlib import Path

import pytest

from stages.write.stage import WriteConfig
from storyloom.errors import UsageError
from tests.documents import dataset, document, video
from tests.storyloom.review.made import drawn, scored, with_scores

TENTHS = [[round(0.10 + 0.01 * n, 2), round(0.20 + 0.01 * n, 2)] for n in range(10)]
"""Twenty pairs of ten documents; scores from 0.10 to 0.29."""


def test_each_band_has_as_many_pairs_of_the_dataset_and_of_the_draw(tmp_path: Path) -> None:
    design, pairs = drawn(with_scores(tmp_path, TENTHS), count=10)
    assert [(band.low, band.high, band.pairs, band.drawn) for band in design.bands] == [
        (0.10, 0.13, 4, 2),
        (0.14, 0.17, 4, 2),
        (0.18, 0.21, 4, 2),
        (0.22, 0.25, 4, 2),
        (0.26, 0.29, 4, 2),
    ]
    assert Counter(pair.band for pair in pairs) == dict.fromkeys(range(5), 2)
    for pair in pairs:
        assert design.bands[pair.band].low <= pair.score <= design.bands[pair.band].high


def test_no_two_pairs_are_of_one_document_where_there_are_enough(tmp_path: Path) -> None:
    _, pairs = drawn(with_scores(tmp_path, TENTHS), count=10)
    assert len({pair.key for pair in pairs}) == 10


def test_two_of_one_document_are_drawn_where_it_cannot_be_avoided(tmp_path: Path) -> None:
    _, pairs = drawn(with_scores(tmp_path, TENTHS), count=20)
    assert Counter(pair.key for pair in pairs).most_common(1)[0][1] == 2
    assert len({(pair.key, pair.image) for pair in pairs}) == 20


def test_the_draw_depends_on_the_seed_and_on_neither_shards_nor_their_order(tmp_path: Path) -> None:
    videos = [video(f"v{n}", scored(0, some)) for n, some in enumerate(TENTHS)]
    dataset(tmp_path / "a", [videos], WriteConfig(shard_bytes=10_000))
    dataset(tmp_path / "b", [videos[5:], videos[:5]], WriteConfig(shard_bytes=90_000))
    one, other = ([(pair.key, pair.image) for pair in drawn(tmp_path / name / "out", 10)[1]] for name in ("a", "b"))
    assert one == other
    assert one != [(pair.key, pair.image) for pair in drawn(tmp_path / "a" / "out", 10, seed=1)[1]]


def test_the_order_of_judging_mixes_the_bands(tmp_path: Path) -> None:
    _, pairs = drawn(with_scores(tmp_path, TENTHS), count=20)
    bands = [pair.band for pair in pairs]
    assert bands != sorted(bands)
    assert bands != sorted(bands, reverse=True)


def test_equal_scores_are_in_one_band_and_a_small_dataset_is_judged_whole(tmp_path: Path) -> None:
    design, pairs = drawn(with_scores(tmp_path, [[0.25] * 3, [0.25, 0.5]]))
    assert [(band.low, band.high, band.pairs, band.drawn) for band in design.bands] == [
        (0.25, 0.25, 4, 4),
        (0.5, 0.5, 1, 1),
    ]
    assert len(pairs) == 5


def test_a_dataset_without_pairs_has_nothing_to_judge(tmp_path: Path) -> None:
    plain = document(0, frames=1, texts=1)
    lone = plain.model_copy(update={"frames": [plain.frames[0].model_copy(update={"text": -1, "similarity": -1.0})]})
    dataset(tmp_path, [[video("v", lone)]], WriteConfig())
    with pytest.raises(UsageError, match="nothing to judge"):
        drawn(tmp_path / "out")
