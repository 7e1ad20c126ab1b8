from dataclasses import replace

import pytest

from modeld.control.history import Target, is_step_back, rollback_target, why_stays
from modeld.control.holds import Hold
from modeld.control.ledger import Entry


def entries(*changes: str) -> list[Entry]:
    """Make a history of words like `v1`, or `rollback:v1` for other triggers than an admin's."""
    made: list[Entry] = []
    for change in changes:
        trigger, _, version = change.rpartition(":")
        previous = made[-1].version if made else None
        made.append(
            Entry(
                number=len(made) + 1,
                at=float(len(made)),
                model="default",
                version=version,
                previous=previous,
                digest="sha256:0",
                trigger=trigger or "admin",
                actor="",
                reason="",
                generation=len(made) + 1,
                blob="",
            )
        )
    return made


STAYS = None


@pytest.mark.parametrize(
    ("changes", "version", "further"),
    [
        pytest.param([], STAYS, None, id="nothing was ever live"),
        pytest.param(["start:v1"], STAYS, None, id="only one version"),
        pytest.param(["v1", "v2"], "v1", None, id="to the one before"),
        pytest.param(["v1", "v2", "rollback:v1"], STAYS, None, id="pressed twice"),
        pytest.param(["v0", "v1", "v2"], "v1", None, id="one step back"),
        pytest.param(["v0", "v1", "v2", "rollback:v1"], STAYS, "v0", id="could go further"),
        pytest.param(
            ["v0", "v1", "v2", "rollback:v1", "rollback:v0"], STAYS, None, id="went further"
        ),
        pytest.param(
            ["v0", "v1", "v2", "rollback:v0"], STAYS, None, id="the first: nothing lies further"
        ),
        pytest.param(["v0", "v1", "v2", "v3", "rollback:v1"], STAYS, "v0", id="two steps at once"),
        pytest.param(["v1", "v2", "rollback:v1", "v2"], "v1", None, id="promoted again"),
        pytest.param(
            ["v1", "v2", "rollback:v1", "v2", "rollback:v1"], STAYS, None, id="and back again"
        ),
        pytest.param(
            ["v1", "v2", "rollback:v1", "v3"], "v1", None, id="past the one that was left"
        ),
        pytest.param(
            ["v0", "v1", "v2", "rollback:v1", "v3", "rollback:v1"], STAYS, "v0", id="left two"
        ),
        pytest.param(
            ["v0", "v1", "v2", "rollback:v0", "v3"], "v0", None, id="new after a long way back"
        ),
        pytest.param(
            ["v0", "v1", "v2", "rollback:v0", "v3", "rollback:v0"], STAYS, None, id="back to it"
        ),
        pytest.param(["file:v1", "file:v2"], "v1", None, id="deployed by git"),
        pytest.param(["file:v1", "file:v2", "file:v1"], "v2", None, id="reverted by git"),
        pytest.param(
            ["file:v1", "file:v2", "file:v1", "rollback:v2"], STAYS, None, id="and undone here"
        ),
        pytest.param(
            ["v1", "v2", "rollback:v1", "file:v2"], "v1", None, id="brought back by a deploy"
        ),
        pytest.param(["v1", "v1"], STAYS, None, id="the same twice"),
        pytest.param(["v1", "v2", "v2"], "v1", None, id="the newest twice"),
        pytest.param(["v1", "v2", "rollback:v0"], STAYS, "v1", id="to one that never was live"),
        pytest.param(["start:v2", "rollback:v1"], STAYS, None, id="what was left is no target"),
    ],
)
def test_where_a_rollback_goes(
    changes: list[str], version: str | None, further: str | None
) -> None:
    assert rollback_target(entries(*changes)) == Target(version, further)


@pytest.mark.parametrize(
    ("version", "current", "lived", "committed", "is_back"),
    [
        pytest.param("v1", "v2", ["v1", "v2"], [], True, id="live before"),
        pytest.param("v2", "v1", ["v1", "v2", "v1"], [], False, id="first live after"),
        pytest.param("v1", "v2", ["v2"], ["v1", "v2"], True, id="committed before"),
        pytest.param("v2", "v1", [], ["v1", "v2"], False, id="committed after"),
        pytest.param("v3", "v2", ["v2"], ["v1", "v2"], False, id="new"),
        pytest.param("v3", "v2", ["v2"], [], False, id="nobody knows"),
        pytest.param("v1", "v3", ["v3"], ["v1", "v2"], False, id="what is left is not in git"),
        pytest.param("v3", "v2", [], [], False, id="nothing is known at all"),
        pytest.param("v1", "v2", ["v1"], ["v2"], True, id="each known elsewhere"),
    ],
)
def test_a_step_back_is_to_what_was_first_live_before(
    version: str, current: str, lived: list[str], committed: list[str], is_back: bool
) -> None:
    assert is_step_back(version, current, lived, committed) is is_back


def test_a_held_version_is_no_target() -> None:
    assert rollback_target(entries("v0", "v1", "v2"), held=("v1",)) == Target("v0")


def on(version: str, model: str = "default") -> Hold:
    return Hold(1, model, version, "", "v2", "ann", "slow", "", "", 1.0)


NONE = "there is no earlier version than v2 to go back to"
V1_IS_HELD = "v1 was live before v2 and is held; to let it be live again: modeld unhold v1"


@pytest.mark.parametrize(
    ("changes", "held", "why"),
    [
        pytest.param([], [], "the history has no version to go back to", id="nothing is known"),
        pytest.param(["v2"], [], NONE, id="only one"),
        pytest.param(["v2"], ["v1"], NONE, id="what is held was never live"),
        pytest.param(["v1", "v2"], ["v1"], V1_IS_HELD, id="the one before is held"),
        pytest.param(["v0", "v1", "v2"], ["v0", "v1"], V1_IS_HELD, id="all before are held"),
        pytest.param(
            ["v2", "v3", "rollback:v2"],
            ["v3"],
            f"v2 is where the last rollback went; {NONE}",
            id="pressed twice",
        ),
        pytest.param(
            ["v1", "v2", "v3", "rollback:v2"],
            ["v3"],
            "v2 is where the last rollback went; to go further back: modeld rollback --to v1",
            id="could go further",
        ),
        pytest.param(
            ["v1", "v2", "v3", "rollback:v2"],
            ["v1", "v3"],
            f"v2 is where the last rollback went; {V1_IS_HELD}",
            id="what lies further is held",
        ),
    ],
)
def test_a_rollback_that_stays_says_why(changes: list[str], held: list[str], why: str) -> None:
    assert why_stays(entries(*changes), [on(version) for version in held]) == why


def test_the_way_out_names_the_model() -> None:
    made = [replace(entry, model="churn") for entry in entries("v1", "v2", "v3", "rollback:v2")]

    assert why_stays(made, []).endswith(": modeld rollback --to v1 --model churn")
    assert why_stays(made, [on("v1", "churn")]).endswith(": modeld unhold v1 --model churn")
