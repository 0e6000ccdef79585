"""The dataset card: what it counts, draws and says of how the dataset was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.rows import DocumentDraft
from stages.write.stage import VideoDocuments, WriteConfig, write_group
from storyloom.card.card import card
from storyloom.card.markdown import bar_chart, table
from storyloom.format.image_tokens import MODELS
from storyloom.format.manifest import Published
from storyloom.tokens.account import account, told_texts
from tests.documents import complete, dataset, document, read_documents, video

CONFIG = WriteConfig(name="carded", shard_bytes=20_000, max_images=8, val_share=0.3)


def licensed(one: VideoDocuments, name: str) -> VideoDocuments:
    return one._replace(manifest=one.manifest.model_copy(update={"license": name}))


def scored(one: DocumentDraft, similarity: float, shift: float) -> DocumentDraft:
    frames = [frame.model_copy(update={"similarity": similarity, "shift": shift}) for frame in one.frames]
    return one.model_copy(update={"frames": frames})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Published, Path]:
    folder = tmp_path_factory.mktemp("card")
    some = [licensed(video(f"a-{n}", scored(document(frames=3), 0.3, -1.4)), "CC-BY-4.0") for n in range(8)]
    others = [licensed(video(f"b-{n}", scored(document(frames=1), -0.0001, 0.0)), "a|b") for n in range(4)]
    plain = [video(f"c-{n}", document(frames=5)) for n in range(3)]
    return dataset(folder, [some, others + plain], CONFIG), folder / "out"


def test_histograms_count_every_image_of_every_shard(published: tuple[Published, Path]) -> None:
    made, out = published
    documents = read_documents(out).values()
    assert sum(sum(totals.similarities.values()) for totals in made.splits.values()) == sum(
        index >= 0 for each in documents for index in each["image_text_index"]
    )
    assert made.splits["train"].nsamples + made.splits["val"].nsamples == 15
    joined = {bar for totals in made.splits.values() for bar in totals.similarities}
    assert joined == {"-0.05", "0.25", "0.30"}
    assert {bar for totals in made.splits.values() for bar in totals.shifts} == {"-1", "0"}
    assert {bar for totals in made.splits.values() for bar in totals.images_per_document} == {"1", "3", "5"}


def test_the_card_draws_what_the_manifest_counts(published: tuple[Published, Path]) -> None:
    made, out = published
    text = (out / "README.md").read_text()
    total = sum(totals.nimages for totals in made.splits.values())
    assert f"17 of {total} images without a text" in text
    charts = [block.split("```")[0] for block in text.split("```text\n")[1:]]
    assert [line.split()[0] for line in charts[0].splitlines()] == ["1", "2", "3", "4", "5"]
    assert [line.split()[-1] for line in charts[0].splitlines()] == ["4", "0", "8", "0", "3"]
    assert len(charts) == 3


def test_licences_are_counted_and_named_to_croissant(published: tuple[Published, Path]) -> None:
    made, out = published
    text = (out / "README.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    counts = [made.splits[split].licenses.get("CC-BY-4.0", 0) for split in ("train", "val")]
    assert rows["CC-BY-4.0"] == f"| CC-BY-4.0 | {counts[0]} | {counts[1]} |"
    assert sum(counts) == 8
    assert "| `a\\|b` | " in text
    assert "| unknown | " in text
    assert json.loads((out / "croissant.json").read_bytes())["license"] == ["CC-BY-4.0", "a|b"]


def test_the_card_says_how_the_dataset_was_made_and_where_it_ends(published: tuple[Published, Path]) -> None:
    text = (published[1] / "README.md").read_text()
    assert "| filter | 0123456789abcdef |  |" in text
    assert "| score |  | `tiny@1` |" in text
    assert "| ffmpeg | 5.1 |" in text
    assert "| what | found | kept | dropped: transcribe.no_speech |" in text
    assert "| videos | 16 | 15 | 1 |" in text
    assert "## Known limits" in text


def test_a_bar_chart_keeps_empty_bars_and_shows_rare_ones() -> None:
    lines = bar_chart({"0.20": 1, "0.35": 1000}, 0.05).splitlines()[1:-1]
    assert lines == [
        f"0.20  ▏{' ' * 39}  1",
        f"0.25  {' ' * 40}  0",
        f"0.30  {' ' * 40}  0",
        f"0.35  {'█' * 40}  1000",
    ]


def test_a_long_histogram_joins_its_bars_and_loses_none() -> None:
    lines = bar_chart({str(n): n for n in range(1, 101)}, 1).splitlines()[1:-1]
    assert len(lines) <= 24
    assert lines[0].split()[0] == "1–5"
    assert sum(int(line.split()[-1]) for line in lines) == 5050


def test_a_table_takes_rows_of_different_columns() -> None:
    assert table([{"a": 1}, {"b": "x\ny"}]) == "| a | b |\n| --- | --- |\n| 1 |  |\n|  | x y |\n"


def test_a_similarity_on_the_edge_of_a_bar_begins_it(tmp_path: Path) -> None:
    values = (0.3, 0.2999, 0.15, -0.05)
    some = [video(f"v{n}", scored(document(frames=1), value, 0.0)) for n, value in enumerate(values)]
    (shard,) = write_group(some, tmp_path, WriteConfig(), 0)
    assert shard.similarities == {"-0.05": 1, "0.15": 1, "0.25": 1, "0.30": 1}


def test_what_a_user_must_know_of_the_run_comes_first_among_the_limits(published: tuple[Published, Path]) -> None:
    made = published[0].provenance.model_copy(update={"notes": ["score.model is the demo's: small"]})
    text = card(published[0].model_copy(update={"provenance": made}))
    assert text.partition("## Known limits\n\n")[2].startswith("- **Score.model is the demo's: small.**\n")


def test_the_card_says_what_captions_and_sounds_are_where_there_are_some(
    published: tuple[Published, Path], tmp_path: Path
) -> None:
    made = dataset(tmp_path, [[complete(video("a", document(texts=3)))]], CONFIG)
    text = card(made)
    for told in ("`image_caption` is what", "`KEY.t000.opus`", "were written by models"):
        assert told in text
        assert told not in card(published[0])
    assert [line for line in text.splitlines() if ".opus" in line and "name:" in line] == [
        f"  - name: t00{number}.opus" for number in range(3)
    ]


def test_the_card_says_what_an_epoch_costs_each_model(published: tuple[Published, Path]) -> None:
    made = published[0]
    found = account(made, list(MODELS.values()), told_texts(made))
    text = card(made)
    assert "## Tokens" in text
    for name, rule in found.models.items():
        per_image = [str(cost) for cost in rule.per_image.values()]
        epochs = [str(one.models[name].epoch) for one in found.splits.values()]
        assert f"| {name} | {' | '.join([*per_image, *epochs])} |" in text


def test_the_card_of_a_dataset_without_sizes_says_nothing_of_tokens(published: tuple[Published, Path]) -> None:
    splits = {split: one.model_copy(update={"image_sizes": {}}) for split, one in published[0].splits.items()}
    assert "## Tokens" not in card(published[0].model_copy(update={"splits": splits}))
