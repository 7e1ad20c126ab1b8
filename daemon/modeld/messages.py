"""Define what the processes say to each other.

One class per message, frozen and flat, made of numbers, strings, tuples and the
values of `domain`. `host.protocol` turns them into frames; rows, predictions and
bodies travel as the frame's payload. A message that carries file descriptors
says so.
"""

from dataclasses import dataclass

from modeld.domain import (
    Artifact,
    Library,
    Metric,
    ModelVersion,
    Proof,
    Signature,
    SnapshotSpec,
    WorkerSettings,
)

# Control process and worker


@dataclass(frozen=True, slots=True)
class Start:
    """The first message to a worker: how it is to work."""

    settings: WorkerSettings


@dataclass(frozen=True, slots=True)
class Prepare:
    """Open what this snapshot needs. Carries one connected socket for each of `hosts`."""

    snapshot: SnapshotSpec
    hosts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The worker could serve that snapshot now."""

    number: int


@dataclass(frozen=True, slots=True)
class PrepareRefused:
    """The worker cannot serve that snapshot; it stays with the one it has."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Serve the prepared snapshot from now on."""

    number: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Every request read from now on sees that snapshot."""

    number: int


@dataclass(frozen=True, slots=True)
class Abort:
    """Forget the prepared snapshot."""

    number: int


@dataclass(frozen=True, slots=True)
class Attach:
    """A host of a release was started again. Carries its socket."""

    release: int
    host: int
    instead_of: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Answer what was accepted, then end."""


@dataclass(frozen=True, slots=True)
class Health:
    """What `/healthz` is to say. While the server starts, predictions wait for a version."""

    status: str
    summary: str
    is_starting: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker's loop turns. `lag_seconds` is how late this beat is."""

    lag_seconds: float
    connections: int


@dataclass(frozen=True, slots=True)
class Want:
    """A request names a version that is not in the snapshot."""

    id: int
    version: ModelVersion


@dataclass(frozen=True, slots=True)
class WantAnswer:
    """The version is in the snapshot now, unless `code` says why not."""

    id: int
    release: int
    code: str = ""
    message: str = ""
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """One line of an HTTP head."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class AdminCall:
    """A request that a worker passes on; the payload is its body.

    `peer` and `local` are the addresses of the connection, written by the worker
    alone; `http_version` is `1.0` or `1.1`.
    """

    id: int
    method: str
    target: str
    headers: tuple[Header, ...]
    peer: str
    peer_port: int
    local: str
    http_version: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """The control process's answer to a passed-on request; the payload is the body.

    When it `goes_on`, there is no body yet: it comes by `AdminChunk`.
    """

    id: int
    status: int
    headers: tuple[Header, ...]
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class AdminChunk:
    """The payload is the next part of an answer that goes on; the last one has none."""

    id: int
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class AdminMore:
    """Send the next chunk: the client has taken what came before."""

    id: int


@dataclass(frozen=True, slots=True)
class AdminStop:
    """Nobody wants the rest of this answer: the client is gone, or the worker drains."""

    id: int


# Control process, nursery and host


@dataclass(frozen=True, slots=True)
class Fork:
    """Fork a host. Carries its end of the connection to the control process.

    `needs_libraries` tells whether it is to find scikit-learn imported, and `needs_tables`
    whether pandas.
    """

    host: int
    memory: int
    needs_libraries: bool
    needs_tables: bool


@dataclass(frozen=True, slots=True)
class Forked:
    """The host lives. Carries a pidfd where the system has them."""

    host: int
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A host ended; `status` is what `waitpid` gave."""

    host: int
    status: int


@dataclass(frozen=True, slots=True)
class Load:
    """The first message to a host: open this version and try it."""

    artifact: Artifact
    inplace_max: int
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The version works. `in_place` tells whether a worker may run it itself.

    `proof` is that of a compiled model; `why_native` says why compiling is not tried.
    """

    signature: Signature
    row_seconds: float
    resident: int
    in_place: bool
    why_not: str
    libraries: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float
    example: str
    proof: Proof | None = None
    why_native: str = ""


@dataclass(frozen=True, slots=True)
class Compile:
    """The first message to a host that is to compile: write the ONNX model to `target`."""

    artifact: Artifact
    target: str
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Compiled:
    """The compiled model is written, and answers as the native one."""

    proof: Proof
    seconds: float


@dataclass(frozen=True, slots=True)
class Prove:
    """The first message to a host that is to compare a version with its file `compiled`."""

    artifact: Artifact
    compiled: str
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Proven:
    """The compiled model answers as the native one."""

    proof: Proof
    seconds: float


@dataclass(frozen=True, slots=True)
class Describe:
    """The first message to a host that is to find out what a manifest says of a version.

    `table` is a file of rows, empty for none, and `target` the column in it that is to be
    predicted. Golden samples are written to `samples`: rows of the table, or made-up ones
    where `makes_up` or there is no table. `answers` is a file of those that the model gave
    before it was stored, by the numbers of rows; empty for none.
    """

    artifact: Artifact
    table: str
    target: str
    makes_up: bool
    samples: str
    answers: str
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Described:
    """What a version takes and answers. `types` has an entry for each of the columns.

    `kind` is that of the manifest's outputs. `rows` is how many rows the table has, and
    `golden` which of them are golden samples, counted from 1; empty where those are made up.
    """

    signature: Signature
    types: tuple[str, ...]
    kind: str
    libraries: tuple[Library, ...]
    metrics: tuple[Metric, ...]
    rows: int
    samples: int
    golden: tuple[int, ...]
    notes: tuple[str, ...]
    why_native: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """To a host that has a version loaded: answer the rows of `table`, and write to `target`.

    `form` names how: a table of `csv`, `jsonl` or `parquet` with the rows' own columns, or
    `arrays` for a comparison. `truth` names the column that is compared with, if any. At most
    `most_rows` are read; 0 means all. `limit_seconds` is for each part of the table.
    """

    table: str
    target: str
    form: str
    truth: str
    wants_probabilities: bool
    most_rows: int
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """So many rows are answered; `share` of the file was read."""

    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Scored:
    """All rows are answered and written.

    `is_classes` tells that the answers are classes and not quantities, `is_text` that they are
    texts, and `has_losses` that the log loss of each row is written.
    """

    rows: int
    is_classes: bool
    is_text: bool
    has_losses: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """To a host that has scored a table: answer `rows` of its first rows, each one alone."""

    rows: int
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Clocked:
    """The seconds that each row took."""

    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """To a host with a version loaded: give these rows of a table, by numbers that rise from 1."""

    table: str
    rows: tuple[int, ...]
    truth: str
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Looked:
    """The inputs of each row, as a JSON object."""

    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """The version does not work, or cannot be compiled; `code` is that of an error of ours."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker is going to send batches. Carries the socket."""


# Worker and host


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one or more requests: `segments` has the number of rows of each.

    The payload is a float64 array of `shape`, or a JSON list where there are texts.
    """

    id: int
    segments: tuple[int, ...]
    shape: tuple[int, ...]
    wants_probabilities: bool
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class Values:
    """Describes one array of an answer: `kind` is `i8`, `f8` or `json`."""

    kind: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: its answers, or the code and message of an error."""

    predictions: Values | None
    probabilities: Values | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """Outcomes in the order of the segments, their arrays one after another as payload.

    One outcome for several segments is cut by rows: nothing failed.
    """

    id: int
    outcomes: tuple[Outcome, ...]
    seconds: float


Message = (
    Start
    | Prepare
    | Prepared
    | PrepareRefused
    | Commit
    | Committed
    | Abort
    | Attach
    | Drain
    | Health
    | Beat
    | Want
    | WantAnswer
    | AdminCall
    | AdminAnswer
    | AdminChunk
    | AdminMore
    | AdminStop
    | Fork
    | Forked
    | Exited
    | Load
    | Loaded
    | Compile
    | Compiled
    | Prove
    | Proven
    | Describe
    | Described
    | Score
    | Scoring
    | Scored
    | Clock
    | Clocked
    | Look
    | Looked
    | LoadRefused
    | Peer
    | Batch
    | BatchAnswer
)
