"""Sentence embeddings: unit vectors that are near each other if their texts mean the same.

The model is an ONNX export of a sentence-transformers model with mean pooling: a folder with
`model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`. Its runtime is the dependency group
`semantic`, which is imported when a model is loaded.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MAX_TOKENS = 256  # Of a text; the rest is cut off.
MODEL, NESTED_MODEL, TOKENIZER = "model.onnx", "onnx/model.onnx", "tokenizer.json"
#: Part of the identity. Count up if the same files no longer give the same vectors.
FORMAT = b"1"


class EncoderError(Exception):
    """The model cannot be used. The message says why and what to do."""


def paper_text(title: str, abstract: str) -> str:
    """Return the text of a paper that is encoded."""
    return f"{title}\n{abstract}"


class Encoder:
    """A loaded sentence embedding model. Threads may share it.

    Attributes
    ----------
    identity : str
        A hash of the model's files, stored beside each vector.
    dimensions : int
        The length of a vector.
    """

    def __init__(self, folder: Path, threads: int = 0):
        from onnxruntime import InferenceSession, SessionOptions
        from tokenizers import Tokenizer

        model, tokenizer = _model_in(folder), folder / TOKENIZER
        checksum = hashlib.sha256(FORMAT)
        for path in (model, tokenizer):
            checksum.update(path.read_bytes())
        self.identity = checksum.hexdigest()[:16]
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        options = SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait for work would keep a core busy.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]
        self.dimensions = len(self._encode("a"))

    @classmethod
    def load(
        cls, model: str, cache_dir: Path, *, download: bool = True, threads: int = 0
    ) -> "Encoder":
        """Load a model from a folder, or by its name on the Hugging Face Hub.

        A named model is downloaded into `cache_dir` once, or refused without `download`.
        `threads` is how many cores one text may use, 0 for all. Raises EncoderError.
        """
        try:
            folder = Path(model)
            if not (folder.is_absolute() or folder.is_dir()):
                folder = cache_dir / model
                if not (_model_in(folder).is_file() and (folder / TOKENIZER).is_file()):
                    if not download:
                        raise FileNotFoundError("it is not downloaded yet")
                    from huggingface_hub import snapshot_download

                    files = [MODEL, NESTED_MODEL, TOKENIZER]
                    snapshot_download(model, local_dir=folder, allow_patterns=files)
            return cls(folder, threads)
        except ImportError as error:
            text = f"{error.name} is not installed: run `uv sync --group semantic`."
            raise EncoderError(text) from error
        except Exception as error:  # The libraries raise plain ones, of several lines.
            why = " ".join(str(error).split()).rstrip(".")
            raise EncoderError(f"Cannot use {model}: {why}.") from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32, shape (n_texts, n_dimensions).

        Texts are encoded one by one: on a CPU, a batch takes longer, since it is padded.
        """
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self._encode(text)
        return vectors

    def _encode(self, text: str) -> np.ndarray:
        encoding = self._tokenizer.encode(text)
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        inputs = {name: np.array([values[name]], np.int64) for name in self._inputs}
        tokens = self._session.run(None, inputs)[0][0]
        mean = tokens.mean(axis=0)  # Without padding, the attention mask leaves none out.
        return mean / np.linalg.norm(mean)


def _model_in(folder: Path) -> Path:
    nested = folder / NESTED_MODEL
    return nested if nested.is_file() else folder / MODEL
