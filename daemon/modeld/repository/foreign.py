"""Read the folders in which other tools keep a model: MLflow, BentoML, MLServer and Triton.

What they say of the model that a version can say too is taken along: code, columns, an example
of rows. What cannot be is named, so that nobody believes it was.
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from modeld.domain import InputColumn
from modeld.errors import ManifestInvalid, UnknownFormat

_MOST_BYTES = 4 << 20
_TYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "string": "string",
    "boolean": "bool",
}
"""What MLflow calls the types of columns, and what a manifest does."""

_MLSERVER_NAMES = ("model.joblib", "model.pickle", "model.pkl", "model.onnx")
_TRITON_SETTING = re.compile(r'^\s*(platform|backend|default_model_filename)\s*:\s*"([^"]*)"', re.M)


_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.M)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A model in a folder of another tool.

    `model` is its file, or a folder with nothing else in it; `rows` are examples as `/predict`
    takes them; `notes` say what does not come along.
    """

    tool: str
    model: Path
    code: tuple[Path, ...] = ()
    columns: tuple[InputColumn, ...] = ()
    trusted: tuple[str, ...] = ()
    rows: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


def read_foreign(folder: Path) -> Foreign | None:
    """Look for a tool's own files in a folder; `None` where it is nobody's.

    Raises `UnknownFormat` for a kind of model that is not taken, `ManifestInvalid` for a file
    that is not what its name says, and `OSError`.
    """
    for name, read in _READERS.items():
        if (folder / name).is_file():
            found = read(folder)
            if found is not None:
                return found
    return None


def _read_mlflow(folder: Path) -> Foreign:
    content = _yaml(folder / "MLmodel")
    flavors = _mapping(content.get("flavors"))
    for flavor, key in (("sklearn", "pickled_model"), ("onnx", "data")):
        if flavor in flavors:
            settings = _mapping(flavors[flavor])
            trusted = settings.get("skops_trusted_types") or ()
            return Foreign(
                tool="MLflow",
                model=_inside(folder, str(settings.get(key, ""))),
                code=_code(folder, settings),
                columns=_signature(content) if flavor == "sklearn" else (),
                trusted=tuple(map(str, trusted)),
                rows=_example(folder, content),
                notes=_other_libraries(folder / "requirements.txt"),
            )
    raise UnknownFormat(
        f"{folder} is an MLflow model of the flavours {', '.join(flavors) or 'none'}; "
        "sklearn and onnx are taken"
    )


def _other_libraries(requirements: Path) -> tuple[str, ...]:
    """Say which libraries are not here in the version that the model was saved with."""
    text = _read(requirements) if requirements.is_file() else ""
    differing = []
    for name, wanted in _REQUIREMENT.findall(text):
        with contextlib.suppress(PackageNotFoundError):
            if version(name) != wanted:
                differing.append(f"{name} {wanted} (here {version(name)})")
    if not differing:
        return ()
    return (
        f"it was saved with {', '.join(differing)}; to run it with those, list them in a file, and "
        "add it with --environment FILE",
    )


def _code(folder: Path, settings: Mapping[str, Any]) -> tuple[Path, ...]:
    """MLflow puts the folder itself on the path of imports."""
    name = settings.get("code")
    if not name:
        return ()
    found = _inside(folder, str(name))
    return tuple(
        sorted(path for path in found.iterdir() if not path.name.startswith((".", "__pyc")))
    )


def _signature(content: Mapping[str, Any]) -> tuple[InputColumn, ...]:
    """Read the columns of a signature; none where one is no column of a table."""
    try:
        inputs = json.loads(_mapping(content.get("signature")).get("inputs") or "[]")
        types = tuple(_TYPES[each["type"]] for each in inputs)
        names = [str(each["name"]) for each in inputs]
    except (ValueError, TypeError, KeyError):
        return ()
    columns = zip(names, types, strict=True)
    return tuple(InputColumn(name, is_text=kind == "string", type=kind) for name, kind in columns)


def _example(folder: Path, content: Mapping[str, Any]) -> tuple[Any, ...]:
    """Read the input example: a frame split into columns and data, or an array."""
    about = _mapping(content.get("saved_input_example_info"))
    path = folder / str(about.get("artifact_path") or "input_example.json")
    if not path.is_file():
        return ()
    example = _json(path)
    if isinstance(example, dict) and {"columns", "data"} <= example.keys():
        return tuple(dict(zip(example["columns"], row, strict=False)) for row in example["data"])
    if isinstance(example, dict) and isinstance(example.get("inputs"), list):
        example = example["inputs"]
    return tuple(example) if isinstance(example, list) else ()


def _read_bentoml(folder: Path) -> Foreign | None:
    content = _yaml(folder / "model.yaml")
    module = content.get("module")
    if not isinstance(module, str) or not module.startswith("bentoml"):
        return None
    found = sorted(folder.glob("saved_model.*"))
    if not found:
        raise UnknownFormat(f"{folder} is a BentoML model ({module}) without a saved_model file")
    signatures = sorted(set(_mapping(content.get("signatures"))) - {"predict", "run"})
    notes = []
    if signatures:
        notes.append(f"BentoML's {', '.join(signatures)} are no routes of modeld, predict is")
    if (folder / "custom_objects.pkl").exists():
        notes.append("custom_objects.pkl of BentoML is not taken")
    return Foreign("BentoML", found[0], notes=tuple(notes))


def _read_mlserver(folder: Path) -> Foreign:
    content = _json(folder / "model-settings.json")
    parameters = _mapping(_mapping(content).get("parameters"))
    uri = str(parameters.get("uri") or "").removeprefix("file://")
    if "://" in uri:
        raise UnknownFormat(f"{folder}: its model is at {uri}: fetch it and add the file itself")
    names = [uri] if uri else [name for name in _MLSERVER_NAMES if (folder / name).exists()]
    if not names:
        raise UnknownFormat(f"{folder}: model-settings.json names no file, and none is there")
    notes = ["the name and version of model-settings.json are not taken"]
    if parameters.get("extra"):
        notes.append("parameters > extra of model-settings.json are not taken")
    return Foreign("MLServer", _inside(folder, names[0]), notes=tuple(notes))


def _read_triton(folder: Path) -> Foreign:
    text = (folder / "config.pbtxt").read_text(encoding="utf-8", errors="replace")
    settings = dict(_TRITON_SETTING.findall(text))
    kind = settings.get("platform") or settings.get("backend") or "onnxruntime"
    if not kind.startswith("onnxruntime"):
        raise UnknownFormat(f"{folder} is a Triton model for {kind}; onnxruntime is taken")
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    if not numbers:
        raise UnknownFormat(f"{folder} is a Triton model without a version, such as 1/model.onnx")
    newest = folder / str(numbers[-1])
    model = _inside(newest, settings.get("default_model_filename") or "model.onnx")
    has_more = len(list(newest.iterdir())) > 1
    notes = ["batching, instance groups and warm-up of config.pbtxt are not taken"]
    if len(numbers) > 1:
        notes.append(f"of Triton's versions {numbers[-1]} is taken, the newest of {len(numbers)}")
    return Foreign("Triton", newest if has_more else model, notes=tuple(notes))


_READERS: dict[str, Callable[[Path], Foreign | None]] = {
    "MLmodel": _read_mlflow,
    "model-settings.json": _read_mlserver,
    "config.pbtxt": _read_triton,
    "model.yaml": _read_bentoml,
}
"""The file that tells a tool's folder, and what reads it."""


def _inside(folder: Path, name: str) -> Path:
    """Find what a tool's file names, which must be in its folder."""
    path = folder / name
    if not name or not path.resolve().is_relative_to(folder.resolve()):
        raise ManifestInvalid(f"{folder}: {name or 'nothing'} is named as the model's file")
    if not path.exists():
        raise ManifestInvalid(f"{folder}: {name} is named and not there")
    return path


def _read(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > _MOST_BYTES:
        raise ManifestInvalid(f"{path} has more than {_MOST_BYTES >> 20} MiB")
    return content.decode("utf-8", errors="replace")


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(yaml.safe_load(_read(path)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestInvalid(f"{path} is not YAML that can be read") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{path} is not JSON") from error


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
