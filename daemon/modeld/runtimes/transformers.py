"""Run Hugging Face models from a folder as `save_pretrained` writes it.

Two tasks: text classification, and vectors of texts (one per text: the mean of its tokens'
vectors, or as the folder says in the way of sentence-transformers). Weights are read from
safetensors alone, code that a folder names is never run, and nothing is fetched.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeld.domain import Artifact, Signature
from modeld.errors import LoadFailed
from modeld.runtimes.model import Array, Rows, first_line

_TEXTS_AT_ONCE = 32
_LONGEST = 100_000
_CLASSIFIES = "ForSequenceClassification"
_TOKENIZERS = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model"),
    *("spiece.model", "sentencepiece.bpe.model"),
)
_EMBEDS = ("Model", "ForMaskedLM", "ForPreTraining")


@dataclass(frozen=True, slots=True)
class _Pooling:
    """How the vectors of a text's tokens become one."""

    takes_first: bool = False
    is_normalized: bool = False


class TransformersModel:
    """A model with its tokenizer, on one device."""

    def __init__(self, model: Any, tokenizer: Any, device: str, pooling: _Pooling | None) -> None:
        self._model = model.to(device).eval()
        self._tokenizer = tokenizer
        self._device = device
        self._pooling = pooling
        self._most_tokens = _most_tokens(model.config, tokenizer)
        config = model.config
        self._is_regression = pooling is None and config.num_labels == 1
        self._is_multi_label = config.problem_type == "multi_label_classification"
        labels = () if pooling or self._is_regression else config.id2label
        classes = tuple(labels[i] for i in range(len(labels)))
        self.signature = Signature(rank=0, classes=classes, has_probabilities=bool(classes))

    def predict(self, rows: Rows) -> Any:
        """Give a label (with several at once: whether it has each), a number or a vector."""
        answers = self._run(rows)
        if not self.signature.classes:
            return answers
        if self._is_multi_label:
            return answers > 0
        return np.array(self.signature.classes, dtype=object)[answers.argmax(axis=1)]

    def probabilities(self, rows: Rows) -> Any:
        """Give the probability of each class."""
        logits = self._run(rows).astype(np.float64)
        if self._is_multi_label:
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def _run(self, texts: list[str]) -> Array:
        """Run texts of a similar length together, and put the answers back into their order."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [self._forward([texts[i] for i in some]) for some in _cut(order)]
        answers = np.concatenate(parts)
        return answers[np.argsort(order)]

    def _forward(self, texts: list[str]) -> Array:
        import torch

        options = {"padding": True, "truncation": True, "max_length": self._most_tokens}
        tokens = self._tokenizer(texts, return_tensors="pt", **options).to(self._device)
        with torch.inference_mode():
            output = self._model(**tokens)
            if self._pooling is None:
                found = output.logits
            else:
                mask = tokens["attention_mask"]
                found = _pooled(output.last_hidden_state, mask, self._pooling)
        array: Array = found.float().cpu().numpy()
        return array


def open_transformers(artifact: Artifact) -> TransformersModel:
    """Open a staged folder; raises `LoadFailed`."""
    folder = Path(artifact.path)
    config = _read_json(folder / "config.json")
    task = _task(config)
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        # Without one, all words would be unknown, and every answer the same.
        raise LoadFailed("it has no tokenizer: tokenizer.save_pretrained(folder) writes it")
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise LoadFailed(
            f"needs the package '{error.name}': pip install 'modeld[transformers]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = _device(artifact.device, has_cuda=torch.cuda.is_available())
    is_classifier = task == _CLASSIFIES
    kind = "AutoModelForSequenceClassification" if is_classifier else "AutoModel"
    try:
        model = _load(getattr(transformers, kind).from_pretrained, folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (LoadFailed, MemoryError):
        raise
    except Exception as error:
        # What is damaged or unknown may fail anywhere in these libraries.
        raise LoadFailed(f"transformers cannot open it: {first_line(error)}") from error
    return TransformersModel(model, tokenizer, device, None if is_classifier else _pooling(folder))


def _load(from_pretrained: Callable[..., Any], folder: Path) -> Any:
    """Load weights that are all there: those that are missing would be random ones."""
    model, found = from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if missing:
        raise LoadFailed(f"the weights lack {', '.join(missing[:3])}, so that it would guess")
    return model


def _task(config: dict[str, Any]) -> str:
    """Say what the folder's model does; raises `LoadFailed` for what is not served."""
    if "auto_map" in config:
        raise LoadFailed(
            "its config.json names code of its own (auto_map), which is never run: save it as a "
            "model that transformers knows, or as ONNX"
        )
    name = str((config.get("architectures") or ["none"])[0])
    if name.endswith(_CLASSIFIES):
        return _CLASSIFIES
    if name.endswith(_EMBEDS):
        return name
    raise LoadFailed(
        f"its config.json says {name[:80]}: text classification (…{_CLASSIFIES}) and vectors of "
        "texts (…Model) are served"
    )


def _device(wanted: str, *, has_cuda: bool) -> str:
    if wanted == "cuda" and not has_cuda:
        raise LoadFailed("model.yaml says device: cuda, and there is none here: use auto or cpu")
    return "cuda" if has_cuda and wanted != "cpu" else "cpu"


def _most_tokens(config: Any, tokenizer: Any) -> int:
    """Say how many tokens of a text are read; the rest of a longer one is left out."""
    if tokenizer.model_max_length < _LONGEST:
        return int(tokenizer.model_max_length)
    places = getattr(config, "max_position_embeddings", 512)
    # RoBERTa counts its places from behind the padding's.
    return int(places - 2 if "roberta" in config.model_type else places)


def _pooling(folder: Path) -> _Pooling:
    """Read what sentence-transformers wrote beside the model, if it did."""
    if not (folder / "modules.json").is_file():
        return _Pooling()
    modules = [str(module.get("type")) for module in _read_json(folder / "modules.json")]
    path = folder / "1_Pooling" / "config.json"
    ways = _read_json(path) if path.is_file() else {"pooling_mode_mean_tokens": True}
    chosen = {name for name, value in ways.items() if value is True and "pooling_mode" in name}
    if chosen not in ({"pooling_mode_mean_tokens"}, {"pooling_mode_cls_token"}):
        raise LoadFailed(f"its 1_Pooling/config.json says {sorted(chosen)}: mean or cls are served")
    return _Pooling(
        takes_first=chosen == {"pooling_mode_cls_token"},
        is_normalized=any(name.endswith("Normalize") for name in modules),
    )


def _pooled(tokens: Any, mask: Any, pooling: _Pooling) -> Any:
    if pooling.takes_first:
        found = tokens[:, 0]
    else:
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        found = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    if pooling.is_normalized:
        found = found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return found


def _cut(order: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(order), _TEXTS_AT_ONCE):
        yield order[start : start + _TEXTS_AT_ONCE]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LoadFailed(f"its {path.name} cannot be read: {error}") from error
