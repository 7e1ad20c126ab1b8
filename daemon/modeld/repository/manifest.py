"""Read `model.yaml`: what a version promises about its files, inputs and answers.

A manifest may be written by hand, so that every key is optional. Without `files`, every file of
the folder holds the model. What is given is read strictly: a misspelt promise would be none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modeld.config_values import parse_memory
from modeld.domain import InputColumn, Scalar
from modeld.repository.files import VersionFolder
from modeld.repository.nodes import Entry, optional, read_document

MANIFEST = "model.yaml"
SAMPLES = "samples.json"
COMPILED = "compiled.onnx"

FORMATS = ("joblib", "pickle", "skops", "onnx", "transformers")
COMPILE = ("auto", "never", "required")
DEVICES = ("auto", "cpu", "cuda")
EXTRA_INPUTS = ("refuse", "ignore")
KINDS = ("classes", "numbers")
TYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "string"),
)

MOST_BYTES = 1 << 20

_KEYS = (
    *("format", "files", "code", "environment", "inputs", "extra_inputs", "rank", "outputs"),
    *("samples", "trained", "batching", "hosts", "compile", "max_memory", "trusted", "device"),
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TYPE_NAME = re.compile(r"\w+(\.\w+)+")
_TABLE, _HIGHEST_RANK = 1, 3
_MOST_HOSTS = 64


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a version, by its path inside the version's folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Trained:
    """How a version came to be."""

    at: str = ""
    commit: str = ""
    libraries: tuple[tuple[str, str], ...] = ()
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answer `label` when its probability is at least `at`."""

    label: Scalar
    at: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `model.yaml` says. `rank` is -1 and a text is empty where it says nothing.

    `max_memory` is in bytes.
    """

    format: str | None = None
    files: tuple[FileEntry, ...] = ()
    code: tuple[str, ...] = ()
    environment: str = ""
    columns: tuple[InputColumn, ...] = ()
    ignores_extra: bool = False
    rank: int = -1
    kind: str = ""
    classes: tuple[Scalar, ...] = ()
    threshold: Threshold | None = None
    samples: str = ""
    batching: bool = True
    hosts: int = 1
    compile: str = "auto"
    max_memory: int = 0
    device: str = "auto"
    trusted: tuple[str, ...] = ()
    trained: Trained | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether it lists the sha256 of all that may run: files and code."""
        return bool(self.files) and {*self.code} <= {entry.path for entry in self.files}

    def paths(self) -> tuple[str, ...]:
        """Name the files that it says hold the model, the compiled one included."""
        environment = (self.environment,) if self.environment else ()
        files = (entry.path for entry in self.files)
        return tuple(dict.fromkeys((*files, *self.code, *environment)))


def read_manifest(folder: Path) -> Manifest | None:
    """Read a version's manifest; None where it has none.

    Raises `ManifestInvalid` with file, line and entry.
    """
    with VersionFolder(folder, folder.name) as source:
        if not source.has(MANIFEST):
            return None
        content = source.read(MANIFEST, limit=MOST_BYTES)
    return parse_manifest(folder.name, content)


def parse_manifest(label: str, content: bytes) -> Manifest:
    """Read the bytes of the manifest of the version `label`; raises `ManifestInvalid`."""
    top = read_document(f"{label}/{MANIFEST}", content)
    fields = top.fields(_KEYS)
    manifest = _manifest(fields)
    _check_paths(top, manifest)
    return manifest


def _manifest(fields: Mapping[str, Entry]) -> Manifest:
    kind, classes, threshold = optional(fields, "outputs", _outputs, ("", (), None))
    return Manifest(
        format=optional(fields, "format", lambda entry: entry.choice(FORMATS), None),
        files=optional(fields, "files", _files, ()),
        code=optional(fields, "code", _paths, ()),
        environment=optional(fields, "environment", _path, ""),
        columns=optional(fields, "inputs", _inputs, ()),
        ignores_extra=optional(fields, "extra_inputs", _ignores, False),
        rank=_rank(fields),
        kind=kind,
        classes=classes,
        threshold=threshold,
        samples=optional(fields, "samples", _path, ""),
        batching=optional(fields, "batching", Entry.flag, True),
        hosts=optional(fields, "hosts", _hosts, 1),
        compile=optional(fields, "compile", lambda entry: entry.choice(COMPILE), "auto"),
        max_memory=optional(fields, "max_memory", _memory, 0),
        device=optional(fields, "device", lambda entry: entry.choice(DEVICES), "auto"),
        trusted=optional(fields, "trusted", _type_names, ()),
        trained=optional(fields, "trained", _trained, None),
    )


def _files(entry: Entry) -> tuple[FileEntry, ...]:
    found = tuple(_file(path, each) for path, each in entry.entries().items())
    if all(each.path == COMPILED for each in found):
        raise entry.refuse("it lists no file that holds the model")
    return found


def _file(path: str, entry: Entry) -> FileEntry:
    _check_path(entry, path)
    fields = entry.fields(("size", "sha256"))
    digest = entry.field(fields, "sha256")
    sha256 = digest.text().lower()
    if not _SHA256.fullmatch(sha256):
        raise digest.refuse("expected 64 hexadecimal digits")
    return FileEntry(path, entry.field(fields, "size").whole(), sha256)


def _paths(entry: Entry) -> tuple[str, ...]:
    return tuple(_path(each) for each in entry.items())


def _type_names(entry: Entry) -> tuple[str, ...]:
    return tuple(_type_name(each) for each in entry.items())


def _type_name(entry: Entry) -> str:
    name = entry.text()
    if not _TYPE_NAME.fullmatch(name):
        raise entry.refuse("expected the full name of a type, such as mypackage.module.Type")
    return name


def _path(entry: Entry) -> str:
    path = entry.text()
    _check_path(entry, path)
    return path


def _check_path(entry: Entry, path: str) -> None:
    """Refuse whatever does not plainly name a file inside the folder."""
    if path == MANIFEST:
        raise entry.refuse(f"{MANIFEST} cannot be a file of the model that it describes")
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts or "\\" in path or not path.isprintable():
        raise entry.refuse("expected a path inside the version's folder, such as model.joblib")


def _check_paths(top: Entry, manifest: Manifest) -> None:
    """Refuse a path that plays two parts; all but samples may be listed with a digest as well."""
    run = (*manifest.code, manifest.environment)
    files = [entry.path for entry in manifest.files if entry.path not in run]
    seen: set[str] = set()
    for path in filter(None, (*files, *run, manifest.samples)):
        if path in seen:
            raise top.refuse(f"{path} is named twice among files, code, environment and samples")
        seen.add(path)


def _ignores(entry: Entry) -> bool:
    return entry.choice(EXTRA_INPUTS) == "ignore"


def _inputs(entry: Entry) -> tuple[InputColumn, ...]:
    columns: list[InputColumn] = []
    for each in entry.items():
        fields = each.fields(("name", "type", "nullable"))
        name = each.field(fields, "name").text()
        if any(column.name == name for column in columns):
            raise each.refuse(f"the input {name} is given twice")
        kind = optional(fields, "type", lambda entry: entry.choice(TYPES), "")
        is_nullable = optional(fields, "nullable", Entry.flag, False)
        columns.append(InputColumn(name, is_nullable, is_text=kind == "string", type=kind))
    return tuple(columns)


def _hosts(entry: Entry) -> int:
    count = entry.whole()
    if not 1 <= count <= _MOST_HOSTS:
        raise entry.refuse(f"expected 1 to {_MOST_HOSTS}, found {count}")
    return count


def _memory(entry: Entry) -> int:
    try:
        return parse_memory(entry.text())
    except ValueError as error:
        raise entry.refuse(str(error)) from error


def _rank(fields: Mapping[str, Entry]) -> int:
    rank = optional(fields, "rank", Entry.whole, _TABLE if "inputs" in fields else -1)
    if rank > _HIGHEST_RANK:
        raise fields["rank"].refuse(f"expected 0 to {_HIGHEST_RANK}, found {rank}")
    if "inputs" in fields and rank != _TABLE:
        raise fields["rank"].refuse(f"inputs name the columns of a row of rank 1, not {rank}")
    return rank


def _outputs(entry: Entry) -> tuple[str, tuple[Scalar, ...], Threshold | None]:
    fields = entry.fields(("kind", "classes", "threshold"))
    kind = optional(fields, "kind", lambda each: each.choice(KINDS), "")
    classes = optional(fields, "classes", _classes, ())
    threshold = optional(fields, "threshold", _threshold, None)
    if kind == "numbers" and (classes or threshold):
        raise entry.refuse("classes and threshold need the kind classes")
    if threshold and classes and not _among(threshold.label, classes):
        raise fields["threshold"].refuse("its class is not among the classes")
    return kind, classes, threshold


def _classes(entry: Entry) -> tuple[Scalar, ...]:
    found: list[Scalar] = []
    for each in entry.items():
        label = each.scalar()
        if _among(label, tuple(found)):
            raise each.refuse("the class is given twice")
        found.append(label)
    return tuple(found)


def _among(label: Scalar, classes: tuple[Scalar, ...]) -> bool:
    """Look a class up by value and type, because `True == 1`."""
    return any(type(each) is type(label) and each == label for each in classes)


def _threshold(entry: Entry) -> Threshold:
    fields = entry.fields(("class", "at"))
    at = entry.field(fields, "at")
    if not 0 <= at.number() <= 1:
        raise at.refuse("expected a probability from 0 to 1")
    return Threshold(entry.field(fields, "class").scalar(), at.number())


def _trained(entry: Entry) -> Trained:
    fields = entry.fields(("at", "commit", "libraries", "metrics"))
    nothing: Mapping[str, Entry] = {}
    libraries = optional(fields, "libraries", Entry.entries, nothing)
    metrics = optional(fields, "metrics", Entry.entries, nothing)
    return Trained(
        at=optional(fields, "at", Entry.text, ""),
        commit=optional(fields, "commit", Entry.text, ""),
        libraries=tuple((name, each.text()) for name, each in libraries.items()),
        metrics=tuple((name, each.number()) for name, each in metrics.items()),
    )
