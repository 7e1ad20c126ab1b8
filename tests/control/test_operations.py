"""The verbs that change the wish, on a file and processes that the test plays."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from modeld.control.changes import Cause, Gathered, Wish
from modeld.control.committing import Committing
from modeld.control.emergency import Emergency
from modeld.control.holds import Hold, Holds
from modeld.control.ledger import Entry, Ledger
from modeld.control.operations import Operations
from modeld.control.progress import Applied
from modeld.control.recording import Recording
from modeld.control.requested import Changed, SetActive
from modeld.control.running import Running
from modeld.control.targets import WorkTreeTarget
from modeld.control.tracking import WorkTreeTracking
from modeld.desired.document import DesiredState, blob_id, parse
from modeld.desired.file import StateDocument
from modeld.domain import ModelVersion
from modeld.errors import (
    InvalidVersionName,
    LoadFailed,
    ModeldError,
    PreconditionFailed,
    StateConflict,
    StateEmpty,
    StateMissing,
    VersionNotFound,
)

KNOWN = ("v0", "v1", "v2", "broken")


@dataclass
class World:
    """A server with one model: its file, what is live, and what others do in between."""

    ledger: Ledger
    text: str | None = "active: v1  # ours\n"
    live: str | None = "v1"
    overtaken_by: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    urgent: list[bool] = field(default_factory=list)
    progress: Any = None

    def __post_init__(self) -> None:
        self.progress = SimpleNamespace(applied=None, generation=1)
        if self.text and self.live:
            self._apply(self.text)
            self.record(self.live, "start")

    def _apply(self, text: str) -> Applied:
        wish = Wish(parse(text.encode()), text.encode(), blob_id(text.encode()))
        self.progress.applied = Applied(wish, self.progress.generation, 1.0)
        return cast("Applied", self.progress.applied)

    def record(self, version: str, trigger: str) -> None:
        history = self.ledger.history()
        previous = history[-1].version if history else None
        self.ledger.record(
            Entry(0, 1.0, "default", version, previous, "sha256:0", trigger, "", "", 1, "")
        )

    def operations(self) -> Operations:
        tracking = WorkTreeTracking(Path("/nowhere/active.yaml"))
        holds = Holds(self.ledger.database)
        target = WorkTreeTarget(tracking, branch="", pushes=False)
        committing = Committing(self.ledger.database, "never", target)
        emergency = Emergency(holds, self.ledger, tracking, committing)
        parts = (self, self, self.progress, self, self.ledger, emergency)
        return Operations(*(cast("Any", part) for part in parts))

    # As a repository

    def folder(self, version: ModelVersion, _named: tuple[str, ...]) -> Path:
        if version.version not in KNOWN or version.model != "default":
            raise VersionNotFound(f"no version {version}", KNOWN)
        return Path(version.version)

    # As a switch and its gathering

    @property
    def recording(self) -> Recording:
        return Recording(self.ledger, cast("Any", None))

    @property
    def gathering(self) -> "World":
        return self

    def live_versions(self) -> dict[str, str]:
        return {"default": self.live} if self.live else {}

    async def history(self, model: str) -> tuple[Entry, ...]:
        return self.ledger.history(model)

    def digest_of_live(self, _model: str) -> str:
        return f"sha256:{self.live}"

    async def load(
        self, version: ModelVersion, _desired: DesiredState, *, is_urgent: bool = True
    ) -> None:
        self.urgent.append(is_urgent)
        if version.version == "broken":
            raise LoadFailed("broken: it does not open")

    async def gather_one(self, version: ModelVersion, desired: DesiredState) -> Gathered:
        await self.load(version, desired)
        release: Any = SimpleNamespace(
            spec=SimpleNamespace(digest=f"sha256:{desired.models[0].active}")
        )
        return Gathered({"default": release}, {})

    # As a reconciler

    async def read(self) -> StateDocument:
        if self.text is None:
            raise StateMissing("state/active.yaml is missing")
        if not self.text:
            raise StateEmpty("state/active.yaml is empty")
        data = self.text.encode()
        return cast("StateDocument", SimpleNamespace(data=data, blob=blob_id(data)))

    override = None

    async def change(
        self, text: str, *, expected: str | None, gathered: Gathered, cause: Cause
    ) -> Applied:
        if self.overtaken_by:
            self.text = self.overtaken_by.pop(0)
        found = blob_id(self.text.encode()) if self.text is not None else None
        if found != expected:
            raise StateConflict("somebody else changed the file")
        assert gathered.live
        self.causes.append(cause)
        self.text, self.live = text, parse(text.encode()).models[0].active
        self.progress.generation += 1
        self.record(self.live, cause.trigger)
        return self._apply(text)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "modeld.sqlite")) as ledger:
        yield ledger


@pytest.fixture
def world(ledger: Ledger) -> World:
    return World(ledger)


def to(version: str, **more: Any) -> SetActive:
    return SetActive(version, **more)


async def back(world: World, version: str = "", **more: Any) -> Changed:
    return await world.operations().rollback(SetActive(version, **more))


async def test_a_version_is_made_live_and_the_file_says_so(world: World) -> None:
    changed = await world.operations().set_active(to("v2", actor="ann", reason="better"))

    assert (changed.previous, changed.active, changed.written) == ("v1", "v2", True)
    assert world.text == "active: v2  # ours\n"
    assert changed.blob == blob_id(b"active: v2  # ours\n")
    assert changed.generation == 2
    assert changed.digest == "sha256:v2"
    assert world.causes == [Cause("admin", "ann", "better")]


@pytest.mark.parametrize(
    ("request_", "is_urgent"),
    [(to("v2"), False), (to("v2", reason="v1 is wrong"), True)],
)
async def test_a_change_with_a_reason_is_in_a_hurry(
    world: World, request_: SetActive, is_urgent: bool
) -> None:
    """Then it does not wait for its version to be compiled."""
    await world.operations().set_active(request_)

    assert world.urgent[0] is is_urgent


async def test_a_call_that_is_refused_is_written_down(world: World) -> None:
    with pytest.raises(LoadFailed):
        await world.operations().set_active(SetActive("broken", reason="try it", actor="ann"))

    entry = world.ledger.attempts()[-1]
    assert (entry.version, entry.previous, entry.result) == ("broken", "v1", "LoadFailed")
    assert entry.reason == "broken: it does not open (asked for: try it)"
    assert (entry.actor, entry.trigger) == ("ann", "admin")
    assert world.ledger.history("default")[-1].version == "v1"


@pytest.mark.parametrize(
    "request_", [SetActive("v9"), SetActive("broken", dry_run=True), SetActive("no name!")]
)
async def test_a_slip_of_the_tongue_is_not_written_down(world: World, request_: SetActive) -> None:
    before = world.ledger.attempts()
    with pytest.raises(ModeldError):
        await world.operations().set_active(request_)

    assert world.ledger.attempts() == before


async def test_a_rollback_is_in_a_hurry(world: World) -> None:
    await world.operations().set_active(to("v2"))
    world.urgent.clear()

    await back(world)

    assert world.urgent[0]


async def test_what_is_live_already_is_not_written_again(world: World) -> None:
    changed = await world.operations().set_active(to("v1"))

    assert changed.unchanged
    assert not changed.written
    assert world.causes == []


async def test_a_file_that_asks_for_something_else_is_written(world: World) -> None:
    """What is live is not what the file says: setting it makes the two agree."""
    world.text = "active: broken\n"

    changed = await world.operations().set_active(to("v1"))

    assert changed.written
    assert world.text == "active: v1\n"


async def test_a_dry_run_proves_and_changes_nothing(world: World) -> None:
    changed = await world.operations().set_active(to("v2", dry_run=True))

    assert changed.dry_run
    assert changed.digest == "sha256:v2"
    assert (world.text, world.live, world.causes) == ("active: v1  # ours\n", "v1", [])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (to("v9"), VersionNotFound),
        (to("broken"), LoadFailed),
        (to("broken", dry_run=True), LoadFailed),
        (to("../v2"), InvalidVersionName),
        (to("latest"), InvalidVersionName),
        (to(""), InvalidVersionName),
        (to("v2\n"), InvalidVersionName),
        (to("v2", model="churn"), VersionNotFound),
        (to("v2", expected_version="v0"), StateConflict),
        (to("v2", if_match="0" * 40), PreconditionFailed),
        (to("v1", expected_version="v0"), StateConflict),
    ],
)
async def test_what_is_refused_changes_nothing(
    world: World, request_: SetActive, error: type[ModeldError]
) -> None:
    with pytest.raises(error):
        await world.operations().set_active(request_)

    assert (world.text, world.live, world.causes) == ("active: v1  # ours\n", "v1", [])


async def test_expectations_that_hold_are_no_obstacle(world: World) -> None:
    blob = blob_id(b"active: v1  # ours\n")

    changed = await world.operations().set_active(to("v2", expected_version="v1", if_match=blob))

    assert changed.written


# Others, in between


async def test_an_edit_is_made_again_on_somebody_else_s_text(world: World) -> None:
    world.overtaken_by = ["active: v1\nnote: one\n", "active: v1\nnote: two\n"]

    changed = await world.operations().set_active(to("v2"))

    assert changed.written
    assert world.text == "active: v2\nnote: two\n"


async def test_it_gives_up_after_three_tries(world: World) -> None:
    world.overtaken_by = [f"active: v1\nnote: {n}\n" for n in range(9)]

    with pytest.raises(StateConflict):
        await world.operations().set_active(to("v2"))

    assert world.text == "active: v1\nnote: 2\n"


@pytest.mark.parametrize("name", ["expected_version", "if_match"])
async def test_who_says_what_is_expected_is_told_at_once(world: World, name: str) -> None:
    world.overtaken_by = ["active: v1\nnote: one\n", "active: v1\nnote: two\n"]
    values = {"expected_version": "v1", "if_match": blob_id(b"active: v1  # ours\n")}

    with pytest.raises(StateConflict):
        await world.operations().set_active(to("v2", **{name: values[name]}))

    assert world.text == "active: v1\nnote: one\n"


async def test_calls_take_turns(world: World) -> None:
    operations = world.operations()

    changed = await asyncio.gather(*(operations.set_active(to(v)) for v in ("v2", "v0", "v2")))

    assert [(c.previous, c.active) for c in changed] == [("v1", "v2"), ("v2", "v0"), ("v0", "v2")]


# Files that cannot be edited


@pytest.mark.parametrize("text", [None, "", "active: [v1\n", "<<<<<<< HEAD\n"])
async def test_a_file_that_cannot_be_edited_is_made_again_from_the_last_good_one(
    world: World, text: str | None
) -> None:
    world.text = text

    changed = await world.operations().set_active(to("v2"))

    assert changed.written
    assert world.text == "active: v2  # ours\n"


async def test_the_first_wish_of_all_may_come_by_a_call(ledger: Ledger) -> None:
    world = World(ledger, text=None, live=None)

    changed = await world.operations().set_active(to("v2"))

    assert (changed.previous, changed.active, world.text) == (None, "v2", "active: v2\n")


# Going back


async def test_a_rollback_goes_to_the_version_before_and_stays_there(world: World) -> None:
    for version in ("v0", "v2"):
        await world.operations().set_active(to(version))

    first, second = await back(world, reason="p99 4x"), await back(world)

    assert (first.previous, first.active, first.written) == ("v2", "v0", True)
    assert world.causes[-1] == Cause("rollback", "", "p99 4x")
    assert (second.active, second.unchanged, second.further_back) == ("v0", True, "v1")
    assert "modeld rollback --to v1" in second.message


async def test_a_rollback_may_name_its_target(world: World) -> None:
    await world.operations().set_active(to("v2"))

    changed = await back(world, "v0")

    assert (changed.active, world.causes[-1].trigger) == ("v0", "rollback")


async def test_where_nothing_was_live_before_it_is_refused(world: World) -> None:
    with pytest.raises(VersionNotFound, match="there is no earlier version than v1"):
        await back(world)


async def test_pressed_again_with_nothing_further_back_it_stays(world: World) -> None:
    await world.operations().set_active(to("v2"))
    await back(world)

    changed = await back(world)

    assert changed.unchanged
    assert changed.message == (
        "v1 is where the last rollback went; there is no earlier version than v1 to go back to"
    )
    assert "further_back" not in changed.document()


async def test_where_nothing_was_ever_live_there_is_nothing_to_go_back_to(ledger: Ledger) -> None:
    with pytest.raises(VersionNotFound, match="nothing was live yet"):
        await back(World(ledger, text=None, live=None))


# Calls that go on


async def test_an_operation_says_how_far_it_is(world: World) -> None:
    running = Running()
    fine = running.start(lambda: world.operations().set_active(to("v2")))
    bad = running.start(lambda: world.operations().set_active(to("broken")))
    assert fine.document() == {"id": fine.id, "status": "running"}

    await asyncio.wait([fine.task, bad.task])

    assert running.find(fine.id) is fine
    assert fine.document()["status"] == "done"
    assert fine.document()["result"]["active"] == "v2"
    assert bad.document() == {
        "id": bad.id,
        "status": "failed",
        "code": "load_failed",
        "error": "broken: it does not open",
    }
    assert running.find("99") is None


async def test_a_defect_is_a_failed_operation_that_says_little() -> None:
    async def fail() -> Changed:
        raise RuntimeError("a secret is 1234")

    operation = Running().start(fail)
    await asyncio.wait([operation.task])

    assert operation.document()["code"] == "internal_error"
    assert "secret" not in str(operation.document())


async def test_only_the_newest_operations_are_kept(world: World) -> None:
    running = Running()
    started = [running.start(lambda: world.operations().set_active(to("v1"))) for _ in range(101)]

    await asyncio.wait([operation.task for operation in started])

    assert running.find(started[0].id) is None
    assert running.find(started[-1].id) is started[-1]


@pytest.mark.parametrize("was_held", [False, True])
async def test_a_change_that_somebody_overtakes_leaves_the_holds_as_they_were(
    world: World, was_held: bool
) -> None:
    world.text, world.live = "active: v2\n", "v2"
    if was_held:
        hold = Hold(0, "default", "v2", "", "v1", "ann", "slow", "", "", 1.0)
        Holds(world.ledger.database).add(hold)
    world.overtaken_by = ["active: v1\n"]

    with pytest.raises(StateConflict):
        await world.operations().set_active(to("v0", hold=True, expected_version="v2"))

    found = [hold.version for hold in Holds(world.ledger.database).active]
    assert found == (["v2"] if was_held else [])


async def test_a_step_back_leaves_the_version_that_was_left_held(world: World) -> None:
    await world.operations().set_active(to("v2"))

    changed = await back(world, reason="slow", actor="ann")

    assert changed.hold is not None
    assert (changed.hold["version"], changed.hold["wanted"]) == ("v2", "v1")
    assert [hold.reason for hold in Holds(world.ledger.database).active] == ["slow"]
