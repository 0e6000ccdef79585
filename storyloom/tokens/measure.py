"""Tokens of a dataset's texts, measured with a tokenizer on a sample of its documents."""

from __future__ import annotations

from storyloom.format.counts import Counts
from storyloom.format.manifest import Published
from storyloom.format.reader import ShardReader
from storyloom.format.shard import Split
from storyloom.format.tokenizer import TextTokenizer
from storyloom.tokens.account import TextTokens, per_token
from storyloom.view.counts import count_of

MOST_SAMPLED = 2048
"""Documents of a dataset whose texts are looked at; those of a smaller one all are (our choice)."""


def measured_texts(
    reader: ShardReader, published: Published, tokenizer: TextTokenizer, most: int = MOST_SAMPLED
) -> TextTokens:
    """The tokens of a dataset's texts by a tokenizer.

    Every so-many-th document of each split is looked at, its JSON alone, so that the same documents are every time; the
    split's characters by their characters per token give its tokens.

    Args:
        reader: Of the dataset.
        published: Its manifest.
        tokenizer: The tokenizer.
        most: Documents that are looked at, at most, up to one a split.

    Raises:
        BadShard: A document cannot be read.
    """
    total = Counts.total(published.splits.values())
    step = -(-total.nsamples // most)
    by_split: dict[Split, int] = {}
    documents = all_characters = all_tokens = 0
    for split, totals in published.splits.items():
        characters = tokens = first = 0
        for shard in published.of(split):
            numbers = range(first, shard.nsamples, step)
            first = first + len(numbers) * step - shard.nsamples
            for stored in reader.json_only(shard, numbers) if numbers else ():
                texts = stored.sample().spoken
                tokens += sum(tokenizer.count(texts))
                characters += sum(map(len, texts))
                documents += 1
        by_split[split] = round(totals.nchars * tokens / characters) if characters else 0
        all_characters += characters
        all_tokens += tokens
    of = "all" if documents == total.nsamples else f"one in {step}"
    ratio = per_token(all_characters, all_tokens)
    return TextTokens(
        how="measured",
        said=f"texts: measured with the tokenizer on {count_of(documents, 'documents')} ({of} of {total.nsamples:,})",
        documents=documents,
        characters_per_token=ratio,
        by_split=by_split,
    )
