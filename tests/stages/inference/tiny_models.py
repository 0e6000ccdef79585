"""Tiny models of transformers, made and taught on the spot: a LLaVA that names colours, a Llama that repeats a word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from stages.inference.question import Picture, Question, Refused
from stages.transcribe.recognizer import torch_threads

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<image>")

TEMPLATE = (
    "{% for turn in messages %}<|{{ turn.role }}|>"
    "{% if turn.content is string %}{{ turn.content }}"
    "{% else %}{% for part in turn.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}"
    "{% endif %}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

STEPS = 90
"""Of teaching: answers are right after two thirds as many."""

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (250, 250, 250)}
WORDS = ("one", "two", "six")


def picture(colour: str, side: int = 48) -> Picture:
    content = io.BytesIO()
    Image.new("RGB", (side, side), COLOURS[colour]).save(content, "JPEG")
    return Picture(content.getvalue(), 32)


def about(colour: str) -> Question:
    return Question("Look.", picture=picture(colour))


def again(colour: str) -> Question:
    """Asked after a refused answer."""
    return Question("Look.", picture=picture(colour), refused=Refused("Wall", "Too short."))


def said(word: str) -> Question:
    return Question("Repeat.", {"said": word})


def tokenizer() -> Any:
    """A token for each byte, and the special ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    own.decoder = decoders.ByteLevel()
    own.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=own, pad_token="<|pad|>", eos_token="<|end|>", chat_template=TEMPLATE)


def text_config(tokens: int) -> dict[str, Any]:
    return {
        "vocab_size": tokens + 10,  # more than there are tokens, as many models have it
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": tokens - len(SPECIAL),
        "eos_token_id": tokens - len(SPECIAL) + 1,
        "bos_token_id": None,
    }


def speaker(folder: Path) -> Path:
    """A causal language model that is taught to repeat a word, in this folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    reader = tokenizer()
    network = LlamaForCausalLM(LlamaConfig(**text_config(len(reader))))
    teach(network, reader, [(said(word), f"It is {word}.") for word in WORDS])
    network.save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def viewer(folder: Path) -> Path:
    """A vision-language model that is taught what colour a picture has, in this folder."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(0)
    words = tokenizer()
    processor: Any = LlavaProcessor
    eyes = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=32,
    )
    image = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=eyes,
        text_config=LlamaConfig(**text_config(len(words))),
        image_token_index=image,
        image_seq_length=4,
    )
    side = {"height": 32, "width": 32}
    reader = processor(
        CLIPImageProcessor(size=side, crop_size=side),
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    network = LlavaForConditionalGeneration(config)
    examples = [(about(colour), f"A {colour} wall.") for colour in COLOURS]
    teach(network, reader, [*examples, (again("red"), "Red, and flat.")])
    network.save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def teach(network: Any, reader: Any, examples: Sequence[tuple[Question, str]]) -> None:
    """Teach a model what to answer to questions; the form of answers is not taught."""
    import torch

    words = getattr(reader, "tokenizer", reader)
    batch = []
    for question, text in examples:
        turns = question.turns({"type": "image", "image": question.picture and question.picture.opened()})
        inputs = reader.apply_chat_template(
            [turns], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        form = words(f'{{"id": "{question.id}", "text": "', add_special_tokens=False).input_ids
        answer = words(f'{text}"}}<|end|>', add_special_tokens=False).input_ids
        asked = inputs["input_ids"][0].tolist() + form
        labels = torch.tensor([[-100] * len(asked) + answer])
        tokens = torch.tensor([asked + answer])
        rest = {"pixel_values": inputs["pixel_values"]} if "pixel_values" in inputs else {}
        batch.append({"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels} | rest)
    network.train()
    steps = torch.optim.AdamW(network.parameters(), lr=5e-3)
    with torch_threads(1):  # so little is slower on more of them
        for _ in range(STEPS):
            loss = sum(network(**one).loss for one in batch)
            steps.zero_grad()
            loss.backward()
            steps.step()
    network.eval()
