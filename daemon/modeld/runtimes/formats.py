"""Find the model among a version's files, by content, and open it.

The first bytes decide, never the name alone, and no loader is tried after another
one failed: a file that claims to be one thing and is another is refused.
"""

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
    ".onnx": "onnx",
}

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x5d\x00\x00": "lzma",
    b"\x78": "zlib",
}


def executes_code(format_name: str) -> bool:
    """Tell whether opening a file of this format may run code that the file brings."""
    return format_name in ("pickle", "joblib")


def detect(folder: Path, names: Sequence[str], wanted: str | None = None) -> tuple[str, Path]:
    """Find the model file among `names` and its format; raises `UnknownFormat`."""
    candidates = [
        n for n in names if Path(n).suffix in SUFFIXES and Path(n).name != "compiled.onnx"
    ]
    if not candidates:
        raise UnknownFormat(
            f"no model among {', '.join(names) or 'no files'}: expected a file that ends in "
            + ", ".join(SUFFIXES)
        )
    if len(candidates) > 1:
        raise UnknownFormat(f"several models: {', '.join(candidates)}; keep one file per version")
    path = folder / candidates[0]
    found = _format_of(path)
    if wanted is not None and wanted != found and {wanted, found} != {"pickle", "joblib"}:
        raise UnknownFormat(f"{path.name}: model.yaml says {wanted}, the file is {found}")
    return found, path


def _format_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    named = SUFFIXES[path.suffix]
    if named == "onnx":
        # The first field of an ONNX model is its IR version, a small number.
        if head[:1] == b"\x08" and len(head) > 1 and 1 <= head[1] <= 64:
            return "onnx"
        raise UnknownFormat(f"{path.name} is not an ONNX model")
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return named
    if any(head.startswith(magic) for magic in _COMPRESSED):
        return "joblib"
    raise UnknownFormat(
        f"{path.name} is no pickle of protocol 2 to 5 and no compressed joblib file"
    )


def open_model(artifact: Artifact) -> "Model":
    """Open a staged version. Only hosts call this: pickles run code."""
    if artifact.format == "onnx":
        from modeld.runtimes.onnx import OnnxModel

        return OnnxModel(artifact.path)
    if artifact.format == COMPILED:
        from modeld.runtimes.compiled import CompiledModel

        return CompiledModel(artifact)
    from modeld.runtimes.joblib import open_pickle

    return open_pickle(artifact)
