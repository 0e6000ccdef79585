"""examples/train.py: no document sees another, and what can be learnt is learnt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from examples.train import WORD, Decoder, Settings, Vocabulary, bits, measure, train
from storyloom.reader import Document, Frame, PackedSequence, Text
from storyloom.reader.packing import assemble
from storyloom.reader.pieces import pieces
from tests.documents import jpeg

SMALL = Settings(width=32, layers=2, heads=2, budget=256, steps=100, rate=2e-2, first_codes=4, second_codes=4)

COLOURS = ("red", "green", "blue", "white")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model is slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def told(number: int, colours: list[int]) -> Document:
    """A document in which each frame is of one colour's code, and its sentence names the colour."""
    items: list[Frame | Text] = []
    for place, colour in enumerate(colours):
        codes = np.full((2, 3), 5 * colour, np.uint16)  # neither part of a code is that of another colour
        items.append(Frame(2.0 * place, jpeg(0), 64, 48, 0.5, 0.0, place, codes=codes))
        items.append(Text(2.0 * place, 2.0 * place + 1, f"This one is {COLOURS[colour]}.", "asr"))
    return Document(
        key=f"document-{number}",
        items=tuple(items),
        video_id=f"video-{number}",
        video_url="",
        title="",
        language="en",
        license="",
        start=0.0,
        end=2.0 * len(colours),
        extra="{}",
        channel="",
        upload_date="",
        chapters=(),
        lag=0.0,
        lag_confidence=0.0,
        video_start=0.0,
    )


def documents(count: int, seed: int) -> list[Document]:
    draw = np.random.default_rng(seed)
    return [told(number, draw.integers(len(COLOURS), size=4).tolist()) for number in range(count)]


def packed(found: list[Document], vocabulary: Vocabulary) -> PackedSequence:
    """All of them in one sequence."""
    layout = vocabulary.layout(SMALL)
    return assemble([piece for one in found for piece in pieces(one, layout, SMALL.budget)], layout)


def test_words_and_bytes_of_a_text_are_the_text() -> None:
    vocabulary = Vocabulary(documents(8, seed=0))
    text = "This one is púrple , isn't it?"
    by_id = {number: word for word, number in vocabulary.words.items()}
    ids = vocabulary.tokenize(text)
    spelled = b"".join(by_id[i].encode() if i in by_id else bytes([i]) for i in ids)
    assert spelled.decode() == f" {text}"
    assert ids[:3] == [vocabulary.words[word] for word in (" This", " one", " is")]
    assert "".join(WORD.findall(text)) == text


def test_no_document_of_a_sequence_sees_another() -> None:
    first, second, other = documents(3, seed=1)
    vocabulary = Vocabulary(documents(8, seed=0))
    torch.manual_seed(0)
    model = Decoder(vocabulary, SMALL)
    together, changed, alone = (packed(found, vocabulary) for found in ([first, second], [other, second], [second]))
    seen = [model(sequence)[-len(alone.tokens) :] for sequence in (together, changed, alone)]
    assert not torch.equal(together.tokens, changed.tokens)
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0], seen[2], rtol=0, atol=1e-5)


def test_no_token_sees_a_later_one() -> None:
    (document,) = documents(1, seed=1)
    vocabulary = Vocabulary(documents(8, seed=0))
    torch.manual_seed(0)
    model = Decoder(vocabulary, SMALL)
    sequence = packed([document], vocabulary)
    tokens = sequence.tokens.clone()
    tokens[30:] = vocabulary.document_end
    logits, blind = model(sequence), model(replace(sequence, tokens=tokens))
    torch.testing.assert_close(logits[:30], blind[:30], rtol=0, atol=1e-5)


def test_the_words_that_a_frame_decides_are_learnt_from_its_codes() -> None:
    vocabulary = Vocabulary(documents(24, seed=0))
    torch.manual_seed(0)
    model = Decoder(vocabulary, SMALL)
    unseen = packed(documents(4, seed=9), vocabulary)
    before = measure(model, unseen, vocabulary)
    found = documents(SMALL.steps * 4, seed=2)
    sequences = [packed(found[step * 4 : step * 4 + 4], vocabulary) for step in range(SMALL.steps)]
    losses = list(train(model, sequences, SMALL))
    after = measure(model, unseen, vocabulary)
    assert losses[-1] < losses[0] / 4
    assert len(losses) == SMALL.steps
    assert torch.equal(before[:, 1], after[:, 1])
    colours = torch.isin(unseen.tokens[1:], torch.tensor([vocabulary.words[f" {name}"] for name in COLOURS]))
    assert bits(model, unseen)[colours].mean() < 0.5  # 2 bits, as long as the frame tells nothing


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_losses(seed: int) -> None:
    vocabulary = Vocabulary(documents(8, seed=0))
    sequences = [packed(documents(4, seed=2), vocabulary)] * 3

    def losses() -> list[float]:
        torch.manual_seed(seed)
        return list(train(Decoder(vocabulary, SMALL), sequences, replace(SMALL, steps=3)))

    assert losses() == losses()
