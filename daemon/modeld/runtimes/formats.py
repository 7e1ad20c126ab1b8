"""Find the model among a version's files, by content, and open it.

The first bytes decide, never the name alone, and no loader is tried after another
one failed: a file that claims to be one thing and is another is refused.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modeld.domain import Artifact
from modeld.errors import UnknownFormat

if TYPE_CHECKING:
    # Not at run time: the control process detects formats, and does without numpy.
    from modeld.runtimes.model import Model

COMPILED = "compiled"
"""The format of a native version's compiled file, which is never looked for among its files."""

SUFFIXES = {
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "joblib",
    ".skops": "skops",
    ".onnx": "onnx",
    ".safetensors": "transformers",
}
_CONFIG = "config.json"

_ENDINGS = {"pickle": ".pkl", "joblib": ".joblib", "skops": ".skops", "onnx": ".onnx"}

_OTHERWISE = {
    "onnx": "is not an ONNX model",
    "skops": "is not a skops file, which is a zip archive",
}
_PICKLES = ("pickle", "joblib")
_NATIVE = (*_PICKLES, "skops")

HARMLESS = frozenset(
    [
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
    ]
)
"""Types that skops wants to be trusted by name, and that run no code.

A forged tree may send scikit-learn to read memory that is not the tree's: in a host, alone.
"""

_ZIP = b"PK\x03\x04"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x5d\x00\x00": "lzma",
    b"\x78": "zlib",
}


def executes_code(format_name: str, trusted: Sequence[str] = ()) -> bool:
    """Tell whether opening a file of this format may run code that its author chose.

    `trusted` are the types that a skops file may be made of beyond those that skops knows.
    """
    if format_name == "skops":
        return not HARMLESS.issuperset(trusted)
    return format_name in _PICKLES


def is_native(format_name: str) -> bool:
    """Tell whether a file of this format holds an estimator, which may be compiled."""
    return format_name in _NATIVE


def libraries_of(format_name: str) -> tuple[str, ...]:
    """Name the packages that decide what a file of this format answers."""
    if format_name == "transformers":
        return ("transformers", "torch")
    return ("scikit-learn", "numpy") if is_native(format_name) else ("onnxruntime",)


def detect(folder: Path, names: Sequence[str], wanted: str | None = None) -> tuple[str, Path]:
    """Find the model file among `names` and its format; raises `UnknownFormat`."""
    candidates = [
        n for n in names if Path(n).suffix in SUFFIXES and Path(n).name != "compiled.onnx"
    ]
    if not candidates:
        if _CONFIG in names and any(name.endswith(".bin") for name in names):
            raise UnknownFormat(
                "its weights are pickles (.bin); save them as safetensors: "
                "model.save_pretrained(folder)"
            )
        raise UnknownFormat(
            f"no model among {', '.join(names) or 'no files'}: expected a file that ends in "
            + ", ".join(SUFFIXES)
        )
    weights = [name for name in candidates if SUFFIXES[Path(name).suffix] == "transformers"]
    if weights and (wanted == "transformers" or len(weights) == len(candidates)):
        return _detect_weights(folder, names, weights, wanted)
    if len(candidates) > 1:
        raise UnknownFormat(f"several models: {', '.join(candidates)}; keep one file per version")
    path = folder / candidates[0]
    found = _format_of(path)
    if wanted is not None and wanted != found and not {wanted, found} <= set(_PICKLES):
        raise UnknownFormat(f"{path.name}: model.yaml says {wanted}, the file is {found}")
    return found, path


def _detect_weights(
    folder: Path, names: Sequence[str], weights: Sequence[str], wanted: str | None
) -> tuple[str, Path]:
    """Tell that a folder is what `save_pretrained` writes."""
    if wanted not in (None, "transformers"):
        raise UnknownFormat(f"{weights[0]}: model.yaml says {wanted}, the file is safetensors")
    if _CONFIG not in names:
        raise UnknownFormat(
            f"{weights[0]} without a {_CONFIG} beside it: expected a folder of Hugging Face's, "
            "as model.save_pretrained and tokenizer.save_pretrained write it"
        )
    for name in weights:
        with (folder / name).open("rb") as file:
            head = file.read(9)
        # The length of a JSON object, and its first brace.
        if head[8:] != b"{":
            raise UnknownFormat(f"{name} is not a safetensors file")
    return "transformers", folder


def _format_of(path: Path) -> str:
    """Tell a file's format by its first bytes and, of pickles, by what their maker calls them."""
    named, kind = SUFFIXES[path.suffix], _kind_of(path)
    if named in _OTHERWISE:
        if kind == named:
            return kind
        raise UnknownFormat(f"{path.name} {_OTHERWISE[named]}")
    if kind in _PICKLES:
        return named if kind == "pickle" else kind
    raise UnknownFormat(
        f"{path.name} is no pickle of protocol 2 to 5 and no compressed joblib file"
    )


def name_of(path: Path) -> str:
    """Name a model's file by what its first bytes are; raises `UnknownFormat`.

    A pickle keeps the ending of those who call it joblib, as only they know.
    """
    kind = _kind_of(path)
    if not kind:
        raise UnknownFormat(
            f"{path} is no model: neither a pickle of protocol 2 to 5, nor a joblib file, nor a "
            "skops file, nor ONNX"
        )
    suffix = path.suffix.lower()
    is_kept = SUFFIXES.get(suffix) in (_PICKLES if executes_code(kind) else (kind,))
    return f"model{suffix if is_kept else _ENDINGS[kind]}"


def _kind_of(path: Path) -> str:
    """Look at the first bytes; empty for none that is known. A bare pickle may be joblib's."""
    with path.open("rb") as file:
        head = file.read(16)
    # The first field of an ONNX model is its IR version, a small number.
    if head[:1] == b"\x08" and len(head) > 1 and 1 <= head[1] <= 64:
        return "onnx"
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return "pickle"
    if head.startswith(_ZIP):
        return "skops"
    return "joblib" if any(map(head.startswith, _COMPRESSED)) else ""


def open_model(artifact: Artifact) -> "Model":
    """Open a staged version. Only hosts call this: pickles run code."""
    if artifact.code:
        # First: the version brought it, whatever else is installed under that name.
        sys.path.insert(0, artifact.code)
    if artifact.format == "onnx":
        from modeld.runtimes.onnx import open_onnx

        return open_onnx(artifact)
    if artifact.format == COMPILED:
        from modeld.runtimes.compiled import CompiledModel

        return CompiledModel(artifact)
    if artifact.format == "transformers":
        from modeld.runtimes.transformers import open_transformers

        return open_transformers(artifact)
    if artifact.format == "skops":
        from modeld.runtimes.skops import open_skops

        return open_skops(artifact)
    from modeld.runtimes.joblib import open_pickle

    return open_pickle(artifact)
