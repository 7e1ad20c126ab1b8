from dataclasses import dataclass

import pytest

from modeld.control.watching import Watching
from modeld.desired.watch import Mode


@dataclass
class World:
    """A clock and a mode that tests set."""

    now: float = 1000.0
    mode: Mode = "events"

    def clock(self) -> float:
        return self.now

    def get_mode(self) -> Mode:
        return self.mode


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watching(world: World) -> Watching:
    """A watching that has seen its first text and much time pass."""
    watching = Watching(world.get_mode, world.clock)
    watching.found()
    watching.looked()
    world.now += 100
    watching.looked()
    assert watching.missed == 0, "the first text is no change"
    return watching


def test_a_change_that_an_event_told_of_is_not_missed(watching: Watching, world: World) -> None:
    watching.heard("change")
    world.now += 0.5
    watching.found()
    world.now += 100

    assert watching.missed == 0
    assert watching.last_event == 1100.0


def test_a_change_that_only_the_tick_found_is_missed_once(watching: Watching, world: World) -> None:
    watching.heard("tick")
    watching.found()
    assert watching.missed == 0, "its event may still come"
    world.now += 1.0

    assert watching.missed == 1
    world.now += 100
    watching.looked()
    assert watching.missed == 1
    assert watching.last_event is None


def test_an_event_that_comes_after_the_tick_found_the_change_is_in_time(
    watching: Watching, world: World
) -> None:
    watching.found()
    world.now += 0.1
    watching.heard("change")
    world.now += 100

    assert watching.missed == 0


def test_an_event_of_long_ago_tells_nothing_of_a_change(watching: Watching, world: World) -> None:
    watching.heard("change")
    world.now += 10
    watching.found()
    world.now += 10
    watching.found()
    world.now += 10
    watching.heard("change")

    assert watching.missed == 2


def test_without_a_watch_no_event_is_due(watching: Watching, world: World) -> None:
    world.mode = "poll"
    watching.found()
    world.now += 100

    assert (watching.mode, watching.missed) == ("poll", 0)


def test_the_time_of_the_last_look_is_kept(watching: Watching, world: World) -> None:
    watching.looked()

    assert watching.last_look == world.now
