"""Trains a small decoder on the documents of a dataset: `python examples/train.py out/demo/shards`.

Each document is one sequence of tokens: the words that were said, and where a frame stands, its visual codes. The model
predicts every token from those before it in its document. docs/training.md says what it measures.
"""  # noqa: INP001

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import count, islice, pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention, silu

from storyloom.errors import UsageError
from storyloom.reader import Document, DocumentDataset, Frame, PackedDataset, PackedSequence, TokenLayout

WORD = re.compile(r"\s?\w+|\s?[^\w\s]|\s")
"""A word or a mark, with the space before it: joined again they are the text."""

MOST_WORDS = 2000
LEAST_SEEN = 3
"""Words that have an id of their own: how many, and how often they are said at least; others are spelled as bytes."""

MOST_MEASURED = 8
"""Sequences of held-out documents that are measured on."""


@dataclass(frozen=True)
class Settings:
    """Of the model and its training; all are our choice but the weight of images, which is Emu3.5's."""

    width: int = 384
    layers: int = 5
    heads: int = 6
    budget: int = 1024  # tokens of a step
    steps: int = 25
    rate: float = 1e-3
    image_loss_weight: float = 0.5
    first_codes: int = 64  # entries of the codebook fitted-16: code = first * 64 + second
    second_codes: int = 64  # 1 for a codebook that is no product
    seed: int = 0


class Vocabulary:
    """Ids of the 256 bytes, then of frequent words, of three marks, and last of the codes."""

    def __init__(self, documents: Iterable[Document]) -> None:
        texts = (text.text for document in documents for text in document.texts)
        counted = Counter(word for text in texts for word in WORD.findall(f" {text}"))
        known = [word for word, times in counted.most_common(MOST_WORDS) if times >= LEAST_SEEN]
        self.words = {word: 256 + number for number, word in enumerate(known)}
        self.frame_start, self.frame_end, self.document_end, self.first_code = range(256 + len(known), 260 + len(known))

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text that follows another."""
        words = WORD.findall(f" {text}")
        return [i for word in words for i in ([self.words[word]] if word in self.words else word.encode())]

    def codes(self, frame: Frame) -> list[int]:
        """Ids of a frame; none where the dataset has no codes."""
        return [] if frame.codes is None else [self.first_code + int(code) for code in frame.codes.flat]

    def layout(self, settings: Settings) -> TokenLayout:
        """A frame is its codes, row by row, between two marks."""
        return TokenLayout(
            self.tokenize,
            image_token=-1,  # there are no placeholders
            image_tokens=lambda columns, rows: columns * rows,
            image_ids=self.codes,
            image_start=[self.frame_start],
            image_end=[self.frame_end],
            document_end=[self.document_end],
            image_loss_weight=settings.image_loss_weight,
        )


class Block(nn.Module):
    """Causal attention within each piece of a packed sequence, then a gated layer (SwiGLU)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, hidden = heads, 8 * width // 3
        self.attention_norm, self.gated_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attended = nn.Linear(width, 3 * width, bias=False)
        self.joined = nn.Linear(width, width, bias=False)
        self.gated = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, angles: Tensor, starts: list[int]) -> Tensor:
        """Width stays; x is (tokens, width), angles are (tokens, width / heads / 2)."""
        q, k, v = self.attended(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        q, k = turned(q, angles), turned(k, angles)
        seen = [  # piece by piece: no token sees another document
            scaled_dot_product_attention(q[:, start:end], k[:, start:end], v[:, start:end], is_causal=True)
            for start, end in pairwise(starts)
        ]
        x = x + self.joined(torch.cat(seen, 1).transpose(0, 1).flatten(1))
        gate, up = self.gated(self.gated_norm(x)).chunk(2, -1)
        return x + self.down(silu(gate) * up)


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary embedding: pairs of x, (heads, tokens, size), turned by the angles of their positions."""
    first, second = x.chunk(2, -1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Decoder(nn.Module):
    """Logits of the next token for each token; the table of embeddings is the head, too.

    Codes of a product codebook, as the fitted ones are, have in common what their first or second part stands for.
    """

    def __init__(self, vocabulary: Vocabulary, settings: Settings) -> None:
        super().__init__()
        width, heads = settings.width, settings.heads
        self.words = nn.Embedding(vocabulary.first_code, width)
        self.codes = nn.Embedding(settings.first_codes * settings.second_codes, width)
        self.first, self.second = nn.Embedding(settings.first_codes, width), nn.Embedding(settings.second_codes, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(settings.layers))
        self.norm = nn.RMSNorm(width)
        for embedding in (self.words, self.codes, self.first, self.second):
            nn.init.normal_(embedding.weight, std=0.02)
        for block in self.blocks:
            for layer in (block.joined, block.down):  # GPT-2: what is added up is small at first
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * settings.layers))
        self.register_buffer("speeds", 10_000 ** -torch.linspace(0, 1, width // heads // 2 + 1)[:-1], persistent=False)

    def forward(self, sequence: PackedSequence) -> Tensor:
        """Shape (tokens, ids)."""
        shared = (self.first.weight[:, None] + self.second.weight).flatten(0, 1)
        table = torch.cat([self.words.weight, self.codes.weight + shared])
        x = table[sequence.tokens]
        angles = sequence.position_ids[:, None] * self.speeds
        for block in self.blocks:
            x = block(x, angles, sequence.cu_seqlens.tolist())
        return self.norm(x) @ table.T


def bits(model: nn.Module, sequence: PackedSequence) -> Tensor:
    """What each token but the first costs, given those before it; float32, shape (tokens - 1,)."""
    return cross_entropy(model(sequence)[:-1].float(), sequence.tokens[1:], reduction="none") / math.log(2)


def train(model: nn.Module, sequences: Iterable[PackedSequence], settings: Settings) -> Iterator[float]:
    """Take a step for each sequence; yields the loss before each step, in bits per token by their weights."""
    optimizer = torch.optim.AdamW(model.parameters(), settings.rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, settings.steps, pct_start=0.1)
    for _, sequence in zip(range(settings.steps), sequences, strict=False):
        weight = sequence.loss_weight[1:]
        loss = (bits(model, sequence) * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


def measure(model: nn.Module, sequence: PackedSequence, vocabulary: Vocabulary) -> Tensor:
    """Bits and number of tokens by their kind: text, codes, and the marks around frames; float64, shape (3, 2)."""
    with torch.no_grad():
        cost, targets = bits(model, sequence).double(), sequence.tokens[1:]
    told = sequence.loss_weight[1:] > 0  # not the first of a piece, which nothing stands before
    codes = told & (targets >= vocabulary.first_code)
    marks = told & ((targets == vocabulary.frame_start) | (targets == vocabulary.frame_end))
    return torch.stack([torch.stack([cost[kind].sum(), kind.sum()]) for kind in (told & ~codes & ~marks, codes, marks)])


def shown(found: Tensor) -> str:
    """Bits a token by kind, of what `measure` gave."""
    kinds = zip(("text", "visual", "marks"), (found[:, 0] / found[:, 1]).tolist(), strict=True)
    return ", ".join(f"{name} {cost:.2f}" for name, cost in kinds if not math.isnan(cost))


def epochs(documents: DocumentDataset, sequences: PackedDataset) -> Iterator[PackedSequence]:
    """Sequences without an end; each epoch has the documents in another order."""
    for epoch in count():
        documents.set_epoch(epoch)
        yield from sequences


def main() -> None:
    """Train, and say after each fifth of the steps what the held-out documents cost."""
    asked = argparse.ArgumentParser(description="Trains a small decoder on the documents of a dataset.")
    asked.add_argument("shards", help="folder or URL of a dataset")
    asked.add_argument("--interleave", choices=("sentence", "word"), default="sentence")
    asked.add_argument("--threads", type=int, default=1, help="sums depend on it, and so do the last digits")
    for field in fields(Settings):
        asked.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = vars(asked.parse_args())
    url, mode, threads = (given.pop(name) for name in ("shards", "interleave", "threads"))
    settings = Settings(**given)
    torch.set_num_threads(threads)
    torch.manual_seed(settings.seed)
    documents = DocumentDataset(url, shuffle=True, seed=settings.seed, interleave=mode)
    try:
        held_out = DocumentDataset(url, "val", interleave=mode)
    except UsageError:
        held_out = documents
        print("no validation split (write.val_share): measured on the documents of the training")  # noqa: T201
    vocabulary = Vocabulary(documents)
    layout = vocabulary.layout(settings)
    measured_on = list(islice(PackedDataset(held_out, layout, budget=settings.budget), MOST_MEASURED))
    model = Decoder(vocabulary, settings)
    parameters = sum(one.numel() for one in model.parameters())
    print(f"{parameters / 1e6:.1f} million parameters, {len(vocabulary.words)} words; bits a token:")  # noqa: T201
    sequences = epochs(documents, PackedDataset(documents, layout, budget=settings.budget))
    for step, loss in enumerate(train(model, sequences, settings), start=1):
        if step % max(1, settings.steps // 5) == 0:
            held = torch.stack([measure(model, sequence, vocabulary) for sequence in measured_on]).sum(0)
            print(f"step {step}: loss {loss:.2f}; held out: {shown(held)}")  # noqa: T201


if __name__ == "__main__":
    main()
