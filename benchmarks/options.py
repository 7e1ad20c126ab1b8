"""Read the command line: how long, which servers and models, and where the results go."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import ALONE, BULK, BUSY, THOROUGH, Case
from benchmarks.lineup import Choice, check_names
from benchmarks.models import BOOSTING, KINDS
from benchmarks.peers import PEERS
from benchmarks.switching import Extent

SPEED, SWITCHING, STARTS = "speed", "switching", "starts"
PARTS = (SPEED, SWITCHING, STARTS)
GROUPS = ("empty", "limit", "fastapi", "modeld", *(peer.group for peer in PEERS))


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured: repetitions of so many seconds, switching, models, cases.

    No models and no cases stand for all of them.
    """

    repetitions: int
    seconds: int
    extent: Extent
    attempts: int
    models: frozenset[str] = frozenset()
    cases: frozenset[Case] = frozenset()


FULL = Length(5, 2, Extent(), 3)
QUICK = Length(
    repetitions=1,
    seconds=1,
    extent=Extent(windows=1, seconds=2, changes=10),
    attempts=1,
    models=frozenset(kind.name for kind in KINDS if kind != BOOSTING),
    cases=frozenset({ALONE, BUSY, BULK}),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    length: Length
    choice: Choice
    parts: frozenset[str]
    json: Path | None


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Read them.

    Raises:
        BenchmarkError: a name is unknown.
    """
    found = _parser().parse_args(arguments)
    length = QUICK if found.quick else FULL
    servers, models = _names(found.servers), _names(found.models)
    counts = _names(found.connections)
    check_names(servers, GROUPS, "server")
    check_names(models, [kind.name for kind in KINDS], "model")
    check_names(counts, list(dict.fromkeys(str(case.connections) for case in THOROUGH)), "count")
    cases = frozenset(case for case in THOROUGH if str(case.connections) in counts)
    choice = Choice(servers, models or length.models, cases or length.cases, found.peers)
    is_subset = bool(servers or models or counts)
    parts = _names(found.parts) or frozenset({SPEED} if is_subset else PARTS)
    check_names(parts, PARTS, "part")
    return Options(length, choice, parts, found.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed and memory beside other servers, in one run.",
    )
    parser.add_argument("--quick", action="store_true", help="a short run: a rough idea only")
    parser.add_argument("--peers", action="store_true", help="with the servers of other projects")
    parser.add_argument("--servers", metavar="A,B", help=f"only these: {', '.join(GROUPS)}")
    models = ", ".join(kind.name for kind in KINDS)
    parser.add_argument("--models", metavar="A,B", help=f"only these: {models}")
    parser.add_argument("--connections", metavar="1,32", help="only these numbers of connections")
    parser.add_argument("--parts", metavar="A,B", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results here")
    return parser


def _names(text: str | None) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()
