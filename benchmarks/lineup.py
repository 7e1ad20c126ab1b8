"""Line up the servers of a run: who is chosen, and what must be made before.

The limit row runs the file that modeld compiled, so modeld compiles it first, in a start that
is not measured; the cache is then warm for the measured ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.contenders import COMPILED, Contender, empty_handler, fastapi, limit, own
from benchmarks.deployment import known_settings
from benchmarks.errors import BenchmarkError
from benchmarks.measure import Absence, Tell
from benchmarks.models import KINDS, REGRESSION, Model
from benchmarks.peers import peers
from benchmarks.process import running


@dataclass(frozen=True, slots=True)
class Choice:
    """What is measured. Empty means everything."""

    servers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    cases: frozenset[Case] = frozenset()
    has_peers: bool = False

    def wants_server(self, group: str) -> bool:
        """Say whether servers of a group are measured."""
        return not self.servers or group in self.servers


def line_up(
    models: Mapping[str, Model], folder: Path, choice: Choice, cpu: int, tell: Tell
) -> tuple[list[Contender], list[Absence]]:
    """Prepare the chosen servers; gives those that can be measured, and those that cannot."""
    present: list[Contender] = []
    absent: list[Absence] = []
    for found in _all(models, folder, choice, cpu, tell):
        if isinstance(found, Absence):
            absent.append(found)
        elif choice.wants_server(found.group) and (cases := _cases(found, choice)):
            present.append(replace(found, cases=cases))
    return present, absent


def _all(
    models: Mapping[str, Model], folder: Path, choice: Choice, cpu: int, tell: Tell
) -> Iterator[Contender | Absence]:
    yield empty_handler(models[REGRESSION.name], _made(folder / "empty"))
    for kind in KINDS:
        if choice.models and kind.name not in choice.models:
            continue
        model, place = models[kind.name], _made(folder / "servers" / kind.name)
        yield from fastapi(model, place)
        ours = list(own(model, place))
        yield from ours
        if kind.compiles and not kind.has_text and choice.wants_server("limit"):
            _compile(ours, cpu, tell)
            yield limit(model, place)
        if choice.has_peers:
            yield from peers(model, place)


def _compile(ours: Sequence[Contender], cpu: int, tell: Tell) -> None:
    """Start modeld once, and let it compile the model."""
    if "compile" not in known_settings():
        return
    contender = next(one for one in ours if one.server == COMPILED)
    tell(f"compiling: {contender}")
    with running(contender, [cpu]):
        pass


def _cases(contender: Contender, choice: Choice) -> tuple[Case, ...]:
    return tuple(case for case in contender.cases if not choice.cases or case in choice.cases)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def check_names(names: frozenset[str], known: Sequence[str], what: str) -> None:
    """Raise `BenchmarkError` for a name that nothing has."""
    for name in sorted(names - set(known)):
        raise BenchmarkError(f"no {what} is called {name!r}; there are {', '.join(known)}")
