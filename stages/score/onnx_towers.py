"""The demo's image-text model by ONNX Runtime, on the CPU: it runs where there is no torch."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.models.demo.assemble import GRAPHS
from stages.score.model_config import CONFIG_FILE
from stages.score.towers import Embeddings, Pixels

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from PIL import Image

Tokens = npt.NDArray[np.int64]


class OnnxTowers:
    """See `Towers`.

    Args:
        folder: The assembled model (`photo_sentence_folder`).
        threads: CPU threads of a forward pass.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        from tokenizers import Tokenizer

        model = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["model_cfg"]
        self.size: int = model["vision_cfg"]["image_size"]
        self.context_length: int = model["text_cfg"]["context_length"]
        self._photos, self._sentences = (_session(folder / graph.name, threads) for graph in GRAPHS)
        self._whole, self._cut = (Tokenizer.from_file(str(folder / "tokenizer.json")) for _ in range(2))
        self._whole.no_padding()
        self._whole.no_truncation()
        self._cut.enable_padding()  # with 0, which the graph masks, to the longest text
        self._cut.enable_truncation(self.context_length)

    def fitted(self, picture: Image.Image) -> Image.Image:
        """The whole picture squashed, as `preprocess_cfg` of the model says."""
        from PIL import Image

        return picture.resize((self.size, self.size), Image.Resampling.BICUBIC)

    def length(self, text: str) -> int:
        return len(self._whole.encode(text).ids)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        encoded = self._cut.encode_batch([cleaned(text) for text in texts])
        return np.array([one.ids for one in encoded], dtype=np.int64)

    def pictures(self, pixels: Pixels) -> Pixels:
        return pixels

    def encode_texts(self, tokens: Tokens) -> Embeddings:
        return _output(self._sentences, tokens)

    def encode_pictures(self, pictures: Pixels) -> Embeddings:
        return _output(self._photos, pictures)

    def embeddings(self, outputs: Sequence[Embeddings]) -> Embeddings:
        return np.concatenate(outputs)


def cleaned(text: str) -> str:
    """A text with mended encoding, entities resolved and single spaces, as open_clip's tokenizer has it (`clean`)."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def _session(graph: Path, threads: int) -> InferenceSession:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _output(session: InferenceSession, given: Tokens | Pixels) -> Embeddings:
    (name,) = (one.name for one in session.get_inputs())
    (output,) = session.run(None, {name: given})
    return np.asarray(output, dtype=np.float32)
