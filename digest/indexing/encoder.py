"""Sentence embeddings: unit vectors that are near each other if their texts mean the same.

The model is an ONNX export of a sentence-transformers model: a folder with `model.onnx` (or
`onnx/model.onnx`), `tokenizer.json` and, where they are, the files that tell its modules, pooling
and prompts. Its runtime is the dependency group `semantic`, which is imported when a model is
loaded.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

MAX_TOKENS = 128  # Of a text; the rest is cut off. 256 take twice the time and rank as well.
MODEL, NESTED_MODEL, TOKENIZER = "model.onnx", "onnx/model.onnx", "tokenizer.json"
MODULES, POOLING = "modules.json", "1_Pooling/config.json"
PROMPTS = "config_sentence_transformers.json"
#: What a model may consist of, the last part of each module's type, and how it may pool.
KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
MEAN, CLS = "pooling_mode_mean_tokens", "pooling_mode_cls_token"
POOLED = "sentence_embedding"  # The output of graphs that pool by themselves.
#: Part of the identity. Count up if the same files no longer give the same vectors.
FORMAT = b"2"


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
        config_files = [path for path in (folder / POOLING, folder / PROMPTS) if path.is_file()]
        for path in (model, tokenizer, *config_files):
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
        is_pooled = POOLED in [node.name for node in self._session.get_outputs()]
        self._outputs = [POOLED] if is_pooled else None
        self._pooling = "" if is_pooled else _pooling_of(folder)
        prompts = _read(folder / PROMPTS).get("prompts") or {}
        self._query_prompt = prompts.get("query", "")
        self._paper_prompt = prompts.get("document", prompts.get("passage", ""))
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
                folder = cache_dir / FORMAT.decode() / model  # Others lack files that are read now.
                if not (_model_in(folder).is_file() and (folder / TOKENIZER).is_file()):
                    if not download:
                        raise FileNotFoundError("it is not downloaded yet")
                    from huggingface_hub import snapshot_download

                    files = [MODEL, NESTED_MODEL, TOKENIZER, MODULES, POOLING, PROMPTS]
                    snapshot_download(model, local_dir=folder, allow_patterns=files)
            return cls(folder, threads)
        except ImportError as error:
            text = f"{error.name} is not installed: run `uv sync --group semantic`."
            raise EncoderError(text) from error
        except Exception as error:  # The libraries raise plain ones, of several lines.
            reason = " ".join(str(error).split()).rstrip(".")
            raise EncoderError(f"Cannot use {model}: {reason}.") from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the unit vectors of papers, float32, shape (n_texts, n_dimensions).

        Texts are encoded one by one: on a CPU, a batch takes longer, since it is padded.
        """
        return self._encode_all(self._paper_prompt, texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return the unit vectors of queries, like `encode`."""
        return self._encode_all(self._query_prompt, texts)

    def _encode_all(self, prompt: str, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self._encode(prompt + text)
        return vectors

    def _encode(self, text: str) -> np.ndarray:
        encoding = self._tokenizer.encode(text)
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        inputs = {name: np.array([values[name]], np.int64) for name in self._inputs}
        vector = self._session.run(self._outputs, inputs)[0][0]
        if self._pooling == CLS:
            vector = vector[0]
        elif self._pooling == MEAN:
            vector = vector.mean(axis=0)  # Without padding, the attention mask leaves none out.
        return vector / np.linalg.norm(vector)


def _pooling_of(folder: Path) -> str:
    """Return how a model pools its tokens: MEAN, also where no file tells, or CLS.

    Raises ValueError if it does so in another way, or has further modules.
    """
    modules = {module["type"].split(".")[-1] for module in _read(folder / MODULES, [])}
    if unknown := modules - KNOWN_MODULES:
        raise ValueError(f"its modules {', '.join(sorted(unknown))} are not supported")
    config = _read(folder / POOLING)
    modes = [name for name, value in config.items() if name.startswith("pooling_mode") and value]
    if config and modes not in ([MEAN], [CLS]):
        raise ValueError(f"its pooling {', '.join(modes) or 'by no way'} is not supported")
    if config.get("include_prompt") is False:
        raise ValueError("its pooling without the prompt is not supported")
    return modes[0] if modes else MEAN


def _read(path: Path, default: Any = MappingProxyType({})) -> Any:
    return json.loads(path.read_text()) if path.is_file() else default


def _model_in(folder: Path) -> Path:
    nested = folder / NESTED_MODEL
    return nested if nested.is_file() else folder / MODEL
