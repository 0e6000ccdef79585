"""The difference of a video's documents: what is the same, what only one has, and why."""

from hypothesis import given
from hypothesis import strategies as st

from storyloom.diff.by_video import Placed, VideoPair
from storyloom.diff.compare import Other, VideoDiff, compare
from storyloom.diff.told import Told, ToldFrame, ToldText
from storyloom.format.words import count_words

UNKNOWN = Other(None), Other(None)


def text(start: int, words: str, length: int = 1000) -> ToldText:
    return ToldText(start, start + length, words, "asr")


def frame(time: int, score: float | None = 0.3, sentence: ToldText | None = None, picture: bytes = b"a") -> ToldFrame:
    return ToldFrame(time, (64, 48, picture), score, 0.0, sentence)


def document(start: int, end: int, frames: list[ToldFrame], texts: list[ToldText], key: str = "k-0000") -> Placed:
    return Placed(key, Told("train", start, end, tuple(frames), tuple(texts), b""), "data/train/shard-000000.tar", 0)


def difference(a: list[Placed], b: list[Placed], others: tuple[Other, Other] = UNKNOWN) -> VideoDiff:
    return compare(VideoPair("v", "", (a, b)), others)


def reasons(found: VideoDiff, side: int = 0) -> list[str]:
    return [one.reason for one in found.sides[side].lone_frames]


def test_a_document_that_was_cut_in_two_loses_no_frame_and_no_word() -> None:
    said = text(0, "one two"), text(5000, "three four")
    frames = frame(500), frame(5500)
    whole = [document(0, 6000, [*frames], [*said])]
    cut = [document(0, 1000, [frames[0]], [said[0]]), document(5000, 6000, [frames[1]], [said[1]], "k-0001")]
    found = difference(whole, cut)
    assert found.size[:2] == (0, 0)
    assert (found.sides[0].changed, found.sides[1].changed, found.sides[0].alone) == (1, 2, 0)
    assert found.sides[0].changes == {"boundaries": 1}


def test_a_sentence_that_was_cut_in_two_loses_no_word() -> None:
    whole = [document(0, 4000, [frame(0)], [text(0, "one two three four", 4000)])]
    cut = [document(0, 4000, [frame(0)], [text(0, "one two", 2000), text(2000, "three four", 2000)])]
    found = difference(whole, cut)
    assert found.size[1] == 0
    assert found.sides[0].changes == {"text": 1}


def test_other_words_at_the_same_time_are_lost_and_gained() -> None:
    found = difference(
        [document(0, 4000, [frame(0)], [text(0, "a red cup")])],
        [document(0, 4000, [frame(0)], [text(100, "a bread cup")])],
    )
    assert [side.lone_words for side in found.sides] == [{"other_words": 1}, {"other_words": 1}]


def test_the_same_words_at_another_time_are_lost() -> None:
    found = difference(
        [document(0, 9000, [frame(0)], [text(0, "red cup")])], [document(0, 9000, [frame(0)], [text(5000, "red cup")])]
    )
    assert [side.lone_words for side in found.sides] == [{"no_words": 2}, {"no_words": 2}]


def test_a_lost_frame_says_why_as_far_as_the_datasets_tell() -> None:
    there = [document(0, 9000, [frame(1000), frame(4500)], [])]
    assert reasons(difference([document(0, 9000, [frame(1000)], [])], [])) == ["no_video"]
    assert reasons(difference([document(0, 9000, [frame(4000)], [])], there)) == ["other_frame"]
    assert reasons(difference([document(20000, 29000, [frame(21000)], [])], there)) == ["no_document"]
    assert reasons(difference([document(0, 9000, [frame(8000)], [])], there)) == ["unknown"]
    strict = Other(0.31), Other(None)
    assert reasons(difference([document(0, 9000, [frame(8000, 0.30)], [])], there, strict)) == ["low_score"]
    assert reasons(difference([document(0, 9000, [frame(8000, 0.31)], [])], there, strict)) == ["unknown"]
    assert reasons(difference([document(0, 9000, [frame(8000, None)], [])], there, strict)) == ["unknown"]


def test_another_picture_sentence_or_score_at_the_same_time_is_counted_and_loses_nothing() -> None:
    said = text(0, "one"), text(2000, "two")
    before = [frame(0, 0.3, said[0]), frame(1000, 0.3, said[0]), frame(2000, 0.3, said[1])]
    after = [frame(0, 0.3, said[0], b"b"), frame(1000, 0.3, said[1]), frame(2000, 0.4, said[1])]
    found = difference([document(0, 3000, before, [*said])], [document(0, 3000, after, [*said])])
    assert (found.pictures, found.pairings, found.scores) == (1, 1, 1)
    assert found.size == (0, 0, 2)
    assert found.sides[0].changes == {"pictures": 1, "pairing": 1, "scores": 1}


def test_a_document_under_another_key_is_the_same_and_counted() -> None:
    found = difference([document(0, 1000, [frame(0)], [])], [document(0, 1000, [frame(0)], [], "k-0007")])
    assert (found.size, found.renamed) == ((0, 0, 0), 1)


times = st.integers(0, 12).map(lambda n: n * 500)
words = st.lists(st.sampled_from(["red", "cup", "tea"]), min_size=1, max_size=3).map(" ".join)


@st.composite
def documents(draw: st.DrawFn) -> list[Placed]:
    """Documents of a video that may overlap, repeat themselves, and hold several frames of a time."""
    found = []
    for number in range(draw(st.integers(0, 3))):
        texts = draw(st.lists(st.builds(text, times, words, times), max_size=3))
        own = st.sampled_from(texts) if texts else st.none()
        scores = st.sampled_from([None, 0.2, 0.3])
        frames = draw(st.lists(st.builds(frame, times, scores, own, st.sampled_from([b"a", b"b"])), max_size=3))
        start = draw(times)
        found.append(document(start, start + draw(times), frames, texts, f"k-{number:04d}"))
    return found


@given(documents())
def test_a_video_has_no_difference_to_itself(one: list[Placed]) -> None:
    found = difference(one, list(reversed(one)))
    assert found.size == (0, 0, 0)
    assert (found.renamed, found.pictures, found.pairings, found.scores) == (0, 0, 0, 0)


@given(documents(), documents())
def test_the_difference_turned_round_is_the_difference_of_the_two_turned_round(
    a: list[Placed], b: list[Placed]
) -> None:
    there, back = difference(a, b), difference(b, a)
    assert there.sides == back.sides[::-1]
    assert (there.renamed, there.pictures, there.pairings) == (back.renamed, back.pictures, back.pairings)


@given(documents(), documents())
def test_what_is_the_same_and_what_is_alone_add_up_on_both_sides(a: list[Placed], b: list[Placed]) -> None:
    found = difference(a, b)
    for side, some in zip(found.sides, (a, b), strict=True):
        assert side.documents == len(some)
        assert side.frames == sum(len(one.told.frames) for one in some)
        assert side.words == sum(count_words(said.text) for one in some for said in one.told.texts)
    same = [
        (
            side.documents - side.alone - side.changed,
            side.frames - len(side.lone_frames),
            side.words - side.lone_words.total(),
        )
        for side in found.sides
    ]
    assert same[0] == same[1]
    assert min(same[0]) >= 0
