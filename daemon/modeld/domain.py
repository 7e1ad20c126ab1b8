"""Define the values that the processes share.

Everything here is frozen and made of numbers, strings and tuples, so that it
can travel between processes as it is. Only the standard library is imported:
a host with an environment of its own loads this module too.
"""

import re
from dataclasses import dataclass, replace

DEFAULT_MODEL = "default"

RESERVED_VERSIONS = frozenset(
    {"latest", "active", "stable", "canary", "shadow", "previous", "default"}
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_FLOATS = ("float16", "float32", "float64")

Scalar = bool | int | float | str | None


def is_name(text: str) -> bool:
    """Tell whether a text may name a model or a version."""
    return _NAME.fullmatch(text) is not None


def is_version_name(text: str) -> bool:
    """Tell whether a text may name a version: a name that is not a word of the wish."""
    return is_name(text) and text not in RESERVED_VERSIONS


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort names as people do: v2 before v10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which model, which version. Two equal ones are the same thing."""

    model: str
    version: str

    def __str__(self) -> str:
        if self.model == DEFAULT_MODEL:
            return self.version
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One column of a row: numbers, or texts.

    `type` is empty where nothing says which numbers: any will do then. A column that is
    not used may hold anything, and may be missing.
    """

    name: str
    nullable: bool = False
    is_text: bool = False
    type: str = ""
    is_used: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether any number will do, and nothing else."""
        return self.is_used and not self.is_text and (self.type == "" or self.type in _FLOATS)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    `rank` is the number of dimensions of one row: 0 a text, 1 a table's row, 2–3
    images. `width` is the number of columns of a table's row, 0 when unknown; `shape` has
    the sizes of an image's axes, 0 for one of any size, and is empty for other rows.
    `columns` is empty when the model knows no names; `is_mixed` tells whether some of
    them are texts, `is_plain` whether all are any numbers. `precision` is the number of
    bits of the floats that the model reads. With `takes_truths`, columns without names
    take truth values. With `ignores_extra`, an object may have further keys.
    """

    rank: int = 1
    width: int = 0
    columns: tuple[InputColumn, ...] = ()
    nullable: tuple[bool, ...] = ()
    classes: tuple[Scalar, ...] = ()
    has_probabilities: bool = False
    precision: int = 64
    is_mixed: bool = False
    is_plain: bool = True
    takes_truths: bool = False
    ignores_extra: bool = False
    shape: tuple[int, ...] = ()

    def with_columns(self, columns: tuple[InputColumn, ...]) -> "Signature":
        """Give the same with these columns, and with what follows from them."""
        return replace(
            self,
            columns=columns,
            is_mixed=any(column.is_text for column in columns),
            is_plain=all(column.is_plain for column in columns),
        )


@dataclass(frozen=True, slots=True)
class Library:
    """An installed package, and its version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Metric:
    """How well a model did, by one measure."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Proof:
    """How a compiled model was found to answer as the native one.

    `way` names the conversion that passed, `rows` how many were compared, and
    `greatest_difference` by how much a number differed at most.
    """

    way: str
    rows: int
    greatest_difference: float


@dataclass(frozen=True, slots=True)
class ReleaseSpec:
    """A version being served, as the control process tells it to the workers.

    `hosts` are the numbers of the processes that answer for it, none when the worker
    runs the model itself from `path`. `slot` is the first of its metric slots.
    """

    id: int
    version: ModelVersion
    digest: str
    runtime: str
    path: str
    hosts: tuple[int, ...]
    signature: Signature
    row_seconds: float
    slot: int
    batching: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """Which release answers for a model when the request names no version."""

    model: str
    release: int


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """What the workers serve: all releases, and which of them are the live ones."""

    number: int
    routes: tuple[Route, ...] = ()
    releases: tuple[ReleaseSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The few settings that a worker needs. Times in seconds, sizes in bytes."""

    slot: int
    max_body: int
    max_rows: int
    max_queue: int
    max_connections: int
    keepalive: float
    request_timeout: float
    load_timeout: float
    drain_delay: float
    drain_timeout: float
    head_timeout: float = 10.0
    write_timeout: float = 30.0
    express: bool = True
    log_format: str = "text"
    log_requests: float = 0.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version's files, staged in a private folder and hashed there.

    `path` is the file or folder that the runtime opens; `size` is that of all files in
    bytes. `samples` is empty when there are no golden samples, `environment` (an id) where
    it runs with the server's own libraries. `max_memory` is the address space in bytes
    that its host may have, 0 where the server decides. `libraries` are those that the
    version says it was made with, by name and version.
    """

    version: ModelVersion
    format: str
    path: str
    digest: str
    size: int
    pinned: bool
    samples: str = ""
    code: str = ""
    environment: str = ""
    columns: tuple[InputColumn, ...] = ()
    rank: int = -1
    classes: tuple[Scalar, ...] = ()
    batching: bool = True
    compile: str = "auto"
    hosts: int = 1
    max_memory: int = 0
    libraries: tuple[tuple[str, str], ...] = ()
    trusted: tuple[str, ...] = ()
    ignores_extra: bool = False
    device: str = "auto"
