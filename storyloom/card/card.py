"""The dataset card: front matter for Hugging Face, and text and tables for people."""

from __future__ import annotations

import json
from typing import Any

from storyloom.card.front_matter import SPLIT_NAMES, front_matter
from storyloom.card.indexes import as_yaml
from storyloom.card.markdown import bar_chart, table
from storyloom.card.snippets import FOLDER, snippets
from storyloom.format.counts import SIMILARITY_STEP, Counts
from storyloom.format.image_tokens import MODELS
from storyloom.format.manifest import FunnelRow, Published
from storyloom.tokens.account import account, has_sizes, told_texts
from storyloom.view.counts import count_of

LAYOUT = """\
## A document

`KEY.json` and its images `KEY.000.jpg`, `KEY.001.jpg`, … lie next to each other in a shard. In `KEY.json`, `texts` and
`images` are parallel: each position holds a text or the file name of an image, in time order, a frame before the text
in whose interval it lies. `image_time`, `text_start` and `text_end` are seconds from the start of the video.
`image_text_index` is the text that an image goes with (-1: none), `image_clip_score` is their similarity, and
`image_shift` tells by how many seconds that text was moved against the clock.
"""

CAPTIONS = """\
`image_caption` is what a model says that an image shows, `image_fused` says in one text what is said and what is shown
at it, and `image_fuse_status` what became of that.
"""

SOUNDS = """\
`KEY.t000.opus`, `KEY.t001.opus`, … are the sound of each text, from its `text_start` to its `text_end`, as Ogg Opus
files with one channel.
"""

CODES = """\
`KEY.000.codes.npy`, `KEY.001.codes.npy`, … are discrete codes of each image, uint16 by rows and columns, in NumPy's
file format; `tokenize` under "How it was made" says of which codebook, and to a model of another one they mean nothing.
"""

MADE_UP = (
    "- Captions and fused texts were written by models, which also name what is not there; nobody has read them.\n"
)

LIMITS = """\
- Texts are what speech recognition heard, or subtitles where `text_source` says so: names, numbers and rare words are
  the first to be wrong, and nobody has read them.
- `image_clip_score` comes from the model named above. Scores of different models cannot be compared, and a high one
  says that text and image look alike to the model, not that one describes the other.
- Near-duplicate frames were dropped within a video, not between videos; a video that is listed twice under different
  ids or URLs is in the dataset twice, and may be in two splits.
- Faces, voices' words, names and on-screen text are as they were in the videos. Nothing was blurred, anonymized or
  filtered for harmful content.
- The licence is what the manifest said of each video; it was not checked.
- Shards have the configured size but for each split's last one.
"""


def card(published: Published) -> str:
    """The text of the dataset's `README.md`."""
    parts = [
        f"# {published.name}\n\n{summary(published)}\n",
        _counts(published),
        _plots(published),
        *([_tokens(published)] if has_sizes(published) else []),
        _layout(published),
        _loading(published),
        _making(published),
        _limits(published),
    ]
    return f"---\n{as_yaml(front_matter(published))}---\n\n" + "\n".join(parts)


def summary(published: Published) -> str:
    """The dataset in one sentence."""
    total = Counts.total(published.splits.values())
    return (
        f"{count_of(total.nsamples, 'interleaved video-text documents')}: {count_of(total.nimages, 'frames')} and"
        f" {count_of(total.nwords, 'words')} spoken "
        f"around them, from {total.seconds / 3600:.2f} hours of video, with the time of every frame and sentence."
    )


def _counts(published: Published) -> str:
    splits = table(
        [
            {
                "split": SPLIT_NAMES[split],
                "shards": totals.nshards,
                "documents": totals.nsamples,
                "images": totals.nimages,
                "words": totals.nwords,
                "hours": f"{totals.seconds / 3600:.2f}",
                "bytes": totals.filesize,
            }
            for split, totals in published.splits.items()
        ]
    )
    return "\n".join(
        [splits, _documents_by("language", "languages", published), _documents_by("licence", "licenses", published)]
    )


def _documents_by(what: str, field: str, published: Published) -> str:
    """A table of documents by language or licence, a column per split."""
    counts = {SPLIT_NAMES[split]: getattr(totals, field) for split, totals in published.splits.items()}
    names = sorted({name for count in counts.values() for name in count})
    return table(
        [{what: name or "unknown"} | {split: count.get(name, 0) for split, count in counts.items()} for name in names]
    )


def _plots(published: Published) -> str:
    total = Counts.total(published.splits.values())
    unmatched = total.nimages - sum(total.similarities.values())
    parts = ["## What is in it\n", "Documents by their number of images:\n", bar_chart(total.images_per_document, 1)]
    if total.similarities:
        without = f"{unmatched:,} of {count_of(total.nimages, 'images')} without a text of their own"
        parts += [
            f"Images by their similarity with their text, in steps of {SIMILARITY_STEP} ({without}):\n",
            bar_chart(total.similarities, SIMILARITY_STEP),
            "Images by the seconds by which their text was moved against the clock, to the nearest second:\n",
            bar_chart(total.shifts, 1),
        ]
    return "\n".join(parts)


def _tokens(published: Published) -> str:
    """What an epoch costs each model, by the same account as `storyloom tokens`."""
    text = told_texts(published)
    found = account(published, list(MODELS.values()), text)
    rows = [
        {"model": name}
        | {f"an image of {size}": "refused" if cost is None else cost for size, cost in rule.per_image.items()}
        | {SPLIT_NAMES[split]: one.models[name].epoch for split, one in found.splits.items()}
        for name, rule in found.models.items()
    ]
    how = (
        "Texts were counted by the tokenizer of `write.tokenizer`."
        if text.how == "counted"
        else "Texts are an estimate, the pieces into which byte-level BPE tokenizers split them."
    )
    refused = {name: sum(one.models[name].refused for one in found.splits.values()) for name in found.models}
    told = ", ".join(f"{name} {count}" for name, count in refused.items() if count)
    how += f" Images that a model refuses for their shape are not counted: {told}." if told else ""
    return (
        f"## Tokens\n\nTokens of an image of the commonest sizes, and of an epoch of each split, images and texts"
        f" together. {how} `storyloom tokens` says more.\n\n{table(rows)}"
    )


def _layout(published: Published) -> str:
    total = Counts.total(published.splits.values())
    return (
        LAYOUT
        + (CAPTIONS if _has_captions(total) else "")
        + (CODES if total.ncodes else "")
        + (SOUNDS if total.most_sounds else "")
    )


def _has_captions(total: Counts) -> bool:
    return bool(total.captions or total.fuse_statuses)


def _loading(published: Published) -> str:
    blocks = (f"### {consumer}\n\n```python\n{code}```\n" for consumer, code in snippets(published).items())
    return f"## Loading\n\n`{FOLDER}` stands for the folder that this file lies in.\n\n" + "\n".join(blocks)


def _making(published: Published) -> str:
    """How the dataset was made; the manifest holds the same in full."""
    made = published.provenance
    parts = ["## How it was made\n"]
    if made.funnel:
        parts.append(table([_funnel_line(row) for row in made.funnel]))
    stages = [
        {
            "stage": stage,
            "fingerprint": made.fingerprints.get(stage, ""),
            "model or program": made.revisions.get(stage, ""),
        }
        for stage in dict.fromkeys([*made.fingerprints, *made.revisions])
    ]
    if stages:
        parts.append(table(stages))
    if made.tools:
        parts.append(table([{"tool": tool, "version": version} for tool, version in sorted(made.tools.items())]))
    if made.config:
        # JSON is YAML, and unlike YAML it never needs more than one line per value
        config = json.dumps(made.config, indent=2, sort_keys=True, ensure_ascii=False)
        parts.append(f"<details><summary>Configuration</summary>\n\n```json\n{config}\n```\n\n</details>\n")
    parts.append(
        "`manifest.json` lists every shard with its SHA-256. The dataset's own is what "
        f"`sha256sum data/*/*.tar | sha256sum` prints: `{published.sha256}`.\n"
    )
    return "\n".join(parts)


def _funnel_line(row: FunnelRow) -> dict[str, Any]:
    """A row of the funnel with a column for each reason, so that every number can be compared."""
    dropped = {f"dropped: {reason}": n for reason, n in row.dropped.items()}
    failed = {f"failed: {code}": n for code, n in row.failed.items()}
    return {"what": row.what, "found": row.found, "kept": row.kept, **dropped, **failed}


def _limits(published: Published) -> str:
    notes = "".join(f"- **{note[:1].upper()}{note[1:]}.**\n" for note in published.provenance.notes)
    made_up = MADE_UP if _has_captions(Counts.total(published.splits.values())) else ""
    return f"## Known limits\n\n{notes}{LIMITS}{made_up}{_threshold(published)}"


def _threshold(published: Published) -> str:
    """The card's line on the filter's threshold; empty where the config states none."""
    config = published.provenance.config.get("filter", {})
    rate, threshold = config.get("false_accept_rate"), config.get("threshold")
    if threshold == "calibrated" and rate is not None:
        return (
            f"- About {rate:.0%} of the frames that have nothing to do with their sentence are still here: the "
            "threshold was set where that share of unrelated frames and sentences of these videos scores higher.\n"
        )
    return f"- Frames that score under {threshold} with their sentence were dropped.\n" if threshold is not None else ""
