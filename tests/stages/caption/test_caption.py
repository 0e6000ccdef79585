"""caption: what frames of documents show, as a server says it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import checked_config
from schemas.rows import CaptionsRow, FramesRow
from stages.caption.stage import CaptionConfig
from stages.inference.question import Picture, Question
from storyloom.errors import UsageError
from tests.chat_server import Fault, caption, chatting
from tests.stages.asking import captioned, video


def statuses(row: CaptionsRow) -> list[str]:
    return [one.status for one in row.captions]


def question(frame: int) -> Question:
    """What is asked about a frame of `video()`."""
    config = CaptionConfig()
    return Question(config.told, picture=Picture(video()[FramesRow].jpegs[frame], config.max_side))


def test_each_frame_of_a_document_has_the_caption_of_its_own_picture(tmp_path: Path) -> None:
    videos = [video("a"), video("b")]
    with chatting() as server:
        rows = captioned(server, tmp_path, *videos)
    for row, one in zip(rows, videos, strict=True):
        assert row.video == one.key
        assert [found.frame for found in row.captions] == [0, 1, 2, 3]
        assert [found.caption for found in row.captions] == [caption(jpeg) for jpeg in one[FramesRow].jpegs]
    assert rows[0].counts() == {"captions": 4}


def test_pictures_are_sent_at_the_size_that_is_asked_for_and_never_enlarged(tmp_path: Path) -> None:
    with chatting() as server:
        captioned(server, tmp_path, video("large", size=(1280, 720)), video("small"), max_side=320)
        sizes = sorted(one.size for one in server.asked)
    assert sizes == [(64, 48)] * 4 + [(320, 180)] * 4


def test_one_frame_of_each_scene_is_described_for_all_of_the_scene(tmp_path: Path) -> None:
    one = video("a", scenes=(0, 0, 1, 0))
    with chatting() as server:
        (row,) = captioned(server, tmp_path, one, frames="scenes")
        assert len(server.asked) == 2
    first, other = (caption(one[FramesRow].jpegs[number]) for number in (0, 2))
    assert [found.caption for found in row.captions] == [first, first, other, first]


def test_a_bad_frame_has_its_reason_and_the_others_their_captions(tmp_path: Path) -> None:
    with chatting(Fault("400", within=question(1).id)) as server:
        (row,) = captioned(server, tmp_path, video())
    assert statuses(row) == ["captioned", "failed:bad_request", "captioned", "captioned"]
    assert row.captions[1].caption == ""
    assert row.counts() == {"captions": 3, "captions_failed.bad_request": 1}
    assert row.retryable_items() == 0


def test_a_frame_over_which_the_server_fails_may_be_asked_about_again_and_the_others_are_not(tmp_path: Path) -> None:
    with chatting(Fault("500", times=3, within=question(2).id)) as server:
        (row,) = captioned(server, tmp_path, video(), retries=2)
        assert statuses(row) == ["captioned", "captioned", "failed:server_error", "captioned"]
        assert row.retryable_items() == 1
        before = len(server.asked)
        (again,) = captioned(server, tmp_path, video())
        assert statuses(again) == ["captioned"] * 4
        assert [one.id for one in server.asked[before:]] == [question(2).id]


def test_a_refusal_is_asked_about_once_more_and_told_why(tmp_path: Path) -> None:
    sorry = "I'm sorry, I cannot describe this picture."
    with chatting(Fault("text", text=sorry)) as server:
        (row,) = captioned(server, tmp_path, video(), concurrency=1)
        assert statuses(row) == ["captioned"] * 4
        assert len(server.asked) == 5
    with chatting(Fault("text", text=sorry, times=2)) as server:
        (row,) = captioned(server, tmp_path / "other", video("a", said=("So this is it.",), shown=("",)), concurrency=1)
    assert statuses(row) == ["failed:refusal"]


@pytest.mark.parametrize(
    "shown",
    [
        "A man in a dark suit gives a speech at a podium.",
        "Cars are merging onto a motorway.",
        "A man at a desk talks to the camera, with yellow subtitles below him.",
        "The first sentence of a page is underlined in red.",
        "The flag of the EU hangs beside a door.",
        'A poster with the words "Sorry, we are closed" hangs on a door.',
        "A man in a red T-shirt that says “I am not a robot” sits on a sofa.",
        'A terminal window with green letters shows "</body>" and "<div>".',
        'A page on a screen reads "Please provide your details".',
    ],
)
def test_what_a_picture_shows_is_no_leak_and_no_refusal(shown: str, tmp_path: Path) -> None:
    with chatting(Fault("text", text=shown)) as server:
        (row,) = captioned(server, tmp_path, video("a", said=("So this is it.",), shown=("",)))
    assert statuses(row) == ["captioned"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("Here is a description of the frame: A man stands at a desk.", "failed:leaked_prompt"),
        ("You describe single frames of videos for people who cannot see them.", "failed:leaked_prompt"),
        ("Assistant: A man stands at a desk.", "failed:leaked_prompt"),
        ("I can see a man. Let me know what else you want to know.", "failed:refusal"),
        ('"I\'m sorry, I cannot describe this picture."', "failed:refusal"),
        ('I cannot describe this picture, which says "I cannot".', "failed:refusal"),
        ("The picture is not provided, so I cannot say.", "failed:refusal"),
    ],
)
def test_what_is_no_caption_is_refused_twice_and_then_there_is_none(written: str, status: str, tmp_path: Path) -> None:
    with chatting(Fault("text", text=written, times=2)) as server:
        (row,) = captioned(server, tmp_path, video("a", said=("So this is it.",), shown=("",)))
    assert statuses(row) == [status]


def test_captions_hold_no_special_tokens_and_no_control_characters(tmp_path: Path) -> None:
    dirty = "A brown <image> dog\x07 lies on <|im_end|> a\u202e red\nblanket."
    with chatting(Fault("text", text=dirty)) as server:
        (row,) = captioned(server, tmp_path, video("a", said=("So this is it.",), shown=("",)))
    (found,) = row.captions
    assert found.caption == "A brown image dog lies on im_end a red blanket."


def test_a_model_must_be_named() -> None:
    with pytest.raises(ValidationError, match="name the model"):
        CaptionConfig(enabled=True)


@pytest.mark.parametrize("who", ["me:secret", ":secret", "me"])
def test_an_address_with_a_password_is_refused(who: str) -> None:
    with pytest.raises(ValidationError, match="the key comes from the environment"):
        CaptionConfig(url=f"https://{who}@example.org/v1")


@pytest.mark.parametrize("key", ["sk-abcdefgh12345678", "hf_AbCdEfGh12345678", "gsk_abcdefgh12345678"])
def test_a_key_in_the_place_of_its_variable_is_not_printed(key: str) -> None:
    places = {"manifest": "a.txt", "work": "w", "output": "o"}
    with pytest.raises(UsageError, match="name of the environment variable") as told:
        checked_config({**places, "caption": {"enabled": True, "model": "eyes", "api_key": key}}, "a.yaml")
    assert key[-8:] not in str(told.value)


@pytest.mark.parametrize("name", ["messages", "model", "n", "stream"])
def test_what_storyloom_asks_is_not_for_the_settings_to_change(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} is what storyloom sets"):
        CaptionConfig(body={name: True})
