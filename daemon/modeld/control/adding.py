"""Add a version: copy it, open it in a host, describe, compile and check it, and let it settle.

All of it happens in a folder beside the versions that no server sees. What goes wrong leaves
nothing; what settles has been loaded as a server will.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from modeld.config import Settings
from modeld.control.compilations import LIMIT_SECONDS
from modeld.control.compiling import compile_beside
from modeld.control.copying import Brought, bring, copy_file
from modeld.control.examining import load_once
from modeld.control.intake import Taken
from modeld.control.nursery import Nursery
from modeld.control.offline import offline
from modeld.desired.document import parse, set_active
from modeld.desired.file import StateFile
from modeld.domain import ModelVersion, Proof, Signature
from modeld.errors import LoadFailed, WishError
from modeld.messages import Describe, Described
from modeld.repository import staging
from modeld.repository.arrival import Arrival, arriving, next_version
from modeld.repository.digest import combine
from modeld.repository.manifest import (
    MANIFEST,
    SAMPLES,
    FileEntry,
    Manifest,
    Trained,
    read_manifest,
)
from modeld.repository.versions import Repository
from modeld.repository.writing import manifest_text
from modeld.runtimes.formats import executes_code, is_native
from modeld.runtimes.scanning import dangerous, find_globals

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Addition:
    """What is to be added. `version` is empty for the next free one, `samples` for no table.

    `environment` is a requirements file whose environment is built already. `answers` is a file
    of the answers that the model gave to some rows of the table before it was stored.
    """

    source: Path
    model: str
    version: str = ""
    samples: Path | None = None
    target: str = ""
    code: tuple[Path, ...] = ()
    makes_up: bool = False
    trusted: tuple[str, ...] = ()
    environment: Path | None = None
    answers: Path | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """A version that was added.

    `state` is the state file where this made it active; `tool` wrote the folder that it comes
    from, where modeld knows the tool.
    """

    version: ModelVersion
    folder: Path
    format: str
    files: tuple[FileEntry, ...]
    described: Described
    proof: Proof | None
    why_native: str
    state: Path | None
    tool: str
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of its files."""
        return combine(self.files)


@dataclass(frozen=True, slots=True)
class _Made:
    taken: Taken
    described: Described
    proof: Proof | None = None
    why_native: str = ""


def add(settings: Settings, addition: Addition, say: Say, warn: Say) -> Added:
    """Add a version; `say` is told what is being done, `warn` what to think about.

    Raises a `ModeldError` or `OSError`; then nothing is left behind.
    """
    named = (*_named(settings), addition.model)
    listing = Repository(settings.models_dir).listing(named)
    name = addition.version or next_version(listing.versions(addition.model))
    version = ModelVersion(addition.model, name)
    with arriving(settings.models_dir, version, named) as arrival:
        say("copying")
        brought = bring(addition.source, addition.code, arrival.folder)
        says = replace(brought.says, trusted=(*brought.says.trusted, *addition.trusted))
        if addition.environment is not None:
            says = replace(says, environment=copy_file(addition.environment, arrival.folder))
        if says != Manifest():
            _write(arrival, says)
        table = addition.samples or _write_rows(brought, addition, arrival)
        made = asyncio.run(_make(settings, replace(addition, samples=table), arrival, say, warn))
        arrival.settle()
        try:
            state = None if listing.entries else _make_active(settings, version)
        except BaseException:
            arrival.withdraw()
            raise
    return Added(
        version=version,
        folder=arrival.place,
        format=made.taken.artifact.format,
        files=made.taken.staged.files,
        described=made.described,
        proof=made.proof,
        why_native=made.why_native,
        state=state,
        tool=brought.tool,
        notes=(*brought.notes, *made.described.notes),
    )


def _write_rows(brought: Brought, addition: Addition, arrival: Arrival) -> Path | None:
    """Write the examples that came with a model as a table, where the version does not see it."""
    if not brought.rows or addition.makes_up:
        return None
    path = arrival.root / "example.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in brought.rows), encoding="utf-8")
    return path


def _named(settings: Settings) -> tuple[str, ...]:
    """Name the models that are wished for; a state file that is broken names none."""
    with contextlib.suppress(OSError, WishError):
        return tuple(each.model for each in parse(settings.state_file.read_bytes()).models)
    return ()


async def _make(
    settings: Settings, addition: Addition, arrival: Arrival, say: Say, warn: Say
) -> _Made:
    """Describe, compile and check a version where it arrives."""
    version = arrival.version
    named = (version.model,)
    with offline(settings, Repository(arrival.root)) as tools:
        taken = await tools.intake.take(version, named, None)
        _warn_of_globals(taken, warn)
        say("opening it and asking for its answers")
        described = await _describe(settings, addition, arrival, tools.nursery, taken)
        _write_manifest(arrival, taken, described)
        staging.discard(taken.staged)
        made = _Made(taken, described)
        if is_native(taken.artifact.format):
            say("compiling")
            made = await _compile(settings, made, arrival, tools.nursery)
        say("checking")
        await load_once(tools.loader(), version, named)
    return made


def _warn_of_globals(taken: Taken, warn: Say) -> None:
    """Say what is odd in a pickle; nothing is proven by finding nothing."""
    artifact = taken.artifact
    if not executes_code(artifact.format):
        return
    found = dangerous(find_globals(Path(artifact.path)))
    if found:
        warn(
            f"{Path(artifact.path).name} asks for {', '.join(found)}, which no model needs as a "
            "rule; opening it runs that with your rights: add it only if you know who made it"
        )


async def _describe(
    settings: Settings, addition: Addition, arrival: Arrival, nursery: Nursery, taken: Taken
) -> Described:
    artifact = taken.artifact
    order = Describe(
        artifact=artifact,
        table=str(addition.samples.resolve()) if addition.samples else "",
        target=addition.target,
        makes_up=addition.makes_up,
        samples=str(arrival.folder.resolve() / SAMPLES),
        answers=str(addition.answers.resolve()) if addition.answers else "",
        # A table may have a million rows to be asked about.
        limit_seconds=settings.load_timeout + (LIMIT_SECONDS if addition.samples else 5.0),
    )
    host = nursery.start_host(artifact)
    try:
        return await host.describe(order)
    finally:
        host.kill()


def _write_manifest(arrival: Arrival, taken: Taken, described: Described) -> None:
    signature = described.signature
    before = read_manifest(arrival.folder) or Manifest()
    columns = zip(signature.columns, nullable_of(signature), described.types, strict=True)
    manifest = replace(
        before,
        format=taken.artifact.format,
        files=taken.staged.files,
        columns=tuple(
            replace(each, nullable=may_miss, type=kind) for each, may_miss, kind in columns
        ),
        rank=signature.rank if signature.rank != 1 else -1,
        kind=described.kind,
        classes=signature.classes,
        samples=SAMPLES if described.samples else "",
        trained=Trained(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            libraries=tuple((each.name, each.version) for each in described.libraries),
            metrics=tuple((each.name, each.value) for each in described.metrics),
        ),
    )
    _write(arrival, manifest)


def _write(arrival: Arrival, manifest: Manifest) -> None:
    (arrival.folder / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")


def nullable_of(signature: Signature) -> tuple[bool, ...]:
    """Tell of each column that has a name whether it may be missing."""
    width = len(signature.columns)
    return signature.nullable[:width] if signature.nullable else (False,) * width


async def _compile(settings: Settings, made: _Made, arrival: Arrival, nursery: Nursery) -> _Made:
    """Compile it; that it cannot be is no misfortune."""
    why_native = "MODELD_COMPILE=never" if settings.compile == "never" else ""
    if made.taken.artifact.compile == "never":
        why_native = "model.yaml has compile: never"
    why_native = why_native or made.described.why_native
    if why_native:
        return replace(made, why_native=why_native)
    try:
        found = await compile_beside(Repository(arrival.root), arrival.version, nursery)
    except LoadFailed as error:
        return replace(made, why_native=str(error))
    return replace(made, proof=found.compiled.proof)


def _make_active(settings: Settings, version: ModelVersion) -> Path | None:
    """Write the first version of a repository into a state file, unless there is one."""
    path = settings.state_file
    if path.exists():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    settings.runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = StateFile(path, settings.runtime_dir / "state.lock")
    file.write(set_active("", version.model, version.version), expected=None)
    return path
