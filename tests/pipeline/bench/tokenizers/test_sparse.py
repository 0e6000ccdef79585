"""Tokens that are sent, and what stands in the place of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench.tokenizers.frames import Frame, Picture
from pipeline.bench.tokenizers.measure import Material, sparse_rows
from pipeline.bench.tokenizers.report import CHANGED, HELD
from pipeline.bench.tokenizers.sparse import (
    CELLS,
    blank,
    cells_of,
    changed,
    composed,
    covered,
    flat,
    most_wanted,
    refreshed,
    relevance,
)
from pipeline.bench.tokenizers.tokens import RawPatches

RAW = RawPatches(16)


def moving(frames: int = 3) -> list[Frame]:
    """A white square of 16 pixels that moves by its width over noise that stays."""
    ground = np.random.default_rng(0).integers(0, 200, (64, 96, 3), dtype=np.uint8)
    found = []
    for number in range(frames):
        one = ground.copy()
        one[16:32, 16 * number : 16 * (number + 1)] = 255
        found.append(Frame(one, ""))
    return found


def sent(run: Sequence[Frame], share: float) -> list[tuple[Picture, int]]:
    tokens = RAW.encode([one.picture for one in run])
    of_run = refreshed([run], [tokens], share, changed)[0]
    made = RAW.decode([one for one, _ in of_run], [one.picture.shape[:2] for one in run])
    return list(zip(made, [count for _, count in of_run], strict=True))


def test_all_tokens_are_the_whole_picture() -> None:
    run = moving()
    for frame, (made, count) in zip(run, sent(run, 1.0), strict=True):
        assert np.array_equal(made, frame.picture)
        assert count == 24


def test_the_changed_tokens_alone_make_the_whole_where_they_suffice() -> None:
    run = moving()
    found = sent(run, 2 / 24)  # where the square was, and where it is
    assert [count for _, count in found] == [24, 2, 2]
    assert all(np.array_equal(made, frame.picture) for frame, (made, _) in zip(run, found, strict=True))


def test_what_changed_and_was_not_sent_waits_for_its_turn() -> None:
    """A difference is from what was sent, not from the frame before: otherwise it would be forgotten."""
    first, second, _ = moving()
    run = [first, second, second]
    found = sent(run, 1 / 24)
    assert not np.array_equal(found[1][0], second.picture)
    assert np.array_equal(found[2][0], second.picture)


def test_another_size_is_sent_whole() -> None:
    first, second, _ = moving()
    run = [first, Frame(second.picture[:48], "")]
    assert [count for _, count in sent(run, 0.1)] == [24, 18]


@given(st.integers(1, 200), st.floats(0.0, 1.0))
def test_a_share_is_at_least_one_token_and_those_that_are_wanted_most(number: int, share: float) -> None:
    wanted = np.random.default_rng(number).random(number)
    keep = most_wanted(wanted, share)
    assert keep.sum() == max(1, round(share * number))
    assert not keep.all() or share > 0.5 or number == 1 or keep.sum() == number
    assert wanted[keep].min() >= wanted[~keep].max(initial=0.0)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_every_token_has_pixels_and_every_pixel_one_token(height: int, width: int, data: st.DataObject) -> None:
    grid = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    found = cells_of((height, width), grid)
    assert found.shape == (height, width)
    assert set(np.unique(found)) == set(range(grid[0] * grid[1]))


def test_blank_tokens_are_the_mean_colour() -> None:
    one = moving()[0].picture
    made = RAW.decode([blank(RAW, one)], [(64, 96)])[0]
    assert np.array_equal(made, flat(one))
    assert np.abs(made[0, 0] - one.mean((0, 1))).max() <= 0.5


def test_composed_tokens_are_each_ones_own() -> None:
    one, other = (RAW.encode([frame.picture])[0] for frame in moving(2))
    keep = np.zeros(24, np.bool_)
    keep[7] = True
    found = composed(one, other, keep).reshape(24, -1)
    assert np.array_equal(found[7], one.reshape(24, -1)[7])
    assert np.array_equal(np.delete(found, 7, 0), np.delete(other.reshape(24, -1), 7, 0))


def test_each_cell_is_covered_once() -> None:
    one = moving()[0].picture
    found = np.stack(covered(one))
    assert len(found) == CELLS**2
    different = (found != one).any(3)
    assert (different.sum(0) <= 1).all()


def test_tokens_whose_cover_costs_most_are_needed_most() -> None:
    without = np.full(CELLS**2, 0.3)
    without[0] = 0.1
    found = relevance(0.3, without, (9, 16))
    assert found.argmax() == 0
    assert found[-1] == pytest.approx(0.0, abs=1e-6)


def test_sending_what_changed_is_nearer_than_sending_any() -> None:
    run = moving(8)
    rows = sparse_rows(Material([run], None, None), RAW)
    found = {(row.sent, row.share): row.quality.psnr for row in rows if row.quality is not None}
    for share in (0.25, 0.1):
        better, worse = found[CHANGED, share], found[HELD, share]
        assert worse is not None
        assert better is None or better > worse


def test_which_tokens_were_sent_costs_bits_too() -> None:
    rows = [row for row in sparse_rows(Material([moving(2)], None, None), RAW) if row.share == 0.5]
    for row in rows:  # 24 tokens, then 12 of 24: 2,704,156 ways to choose them
        assert row.tokens_per_frame == 18
        assert row.bits_per_frame == pytest.approx(18 * 6144 + np.log2(2_704_156) / 2)
