"""Feeds a tiny model for a few steps: `python examples/train.py out/demo/shards`."""  # noqa: INP001

import sys

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from storyloom.reader import DocumentDataset, PackedDataset, TokenLayout

IMAGE, END = 256, 257  # behind the 256 values of a byte: text is tokenized as UTF-8
LAYOUT = TokenLayout(lambda text: list(text.encode()), IMAGE, image_tokens=4, document_end=[END])

documents = DocumentDataset(sys.argv[1], shuffle=True)
sequences = PackedDataset(documents, LAYOUT, budget=256)
words, sight, body = torch.nn.Embedding(258, 64), torch.nn.Linear(3, 4 * 64), torch.nn.GRU(64, 64)
head = torch.nn.Linear(64, 258)
model = torch.nn.ModuleList([words, sight, body, head])
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for epoch in range(5):
    documents.set_epoch(epoch)
    for sequence in DataLoader(sequences, batch_size=None):
        inputs = words(sequence.tokens)
        if sequence.images:  # what a real model does with a vision tower, here with each picture's mean colour
            colours = torch.stack(
                [torch.tensor(frame.pixels()).float().mean((0, 1)) / 255 for frame in sequence.images]
            )
            inputs[sequence.image_mask] = sight(colours).reshape(-1, 64)
        predicted = head(body(inputs)[0])
        loss = cross_entropy(predicted[:-1], sequence.tokens[1:], reduction="none") @ sequence.loss_weight[1:]
        optimizer.zero_grad()
        (loss / sequence.loss_weight[1:].sum()).backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss / sequence.loss_weight[1:].sum():.2f}, {len(sequence.tokens)} tokens")  # noqa: T201
