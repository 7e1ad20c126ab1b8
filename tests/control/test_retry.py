import pytest

from modeld import errors
from modeld.control.retry import is_on_its_way, retry_pause
from modeld.errors import ModeldError
from tests.http.test_errors import ALL, made

ARRIVES = [
    errors.ArtifactNotReady,
    errors.EnvironmentNotBuilt,
    errors.LfsPointer,
    errors.VersionNotFound,
    errors.ModelNotFound,
]
DIED = [errors.HostDied, errors.LoadTimeout]
BUSY = [kind for kind in ALL if issubclass(kind, errors.BusyError)]
FINAL = [kind for kind in ALL if kind not in {*ARRIVES, *DIED, *BUSY}]


def pauses(kind: type[ModeldError], tries: int) -> list[float | None]:
    return [retry_pause(made(kind), failures) for failures in range(tries)]


@pytest.mark.parametrize("kind", ARRIVES)
def test_files_that_may_still_arrive_are_looked_for_for_ever(kind: type[ModeldError]) -> None:
    found = pauses(kind, 1000)

    assert found[:30] == [1.0] * 30
    assert found[30:42] == [5.0] * 12
    assert set(found[42:]) == {30.0}


@pytest.mark.parametrize("kind", DIED)
def test_a_load_that_died_is_tried_three_times_more(kind: type[ModeldError]) -> None:
    assert pauses(kind, 5) == [5.0, 30.0, 120.0, None, None]


@pytest.mark.parametrize("kind", BUSY)
def test_what_is_busy_is_tried_again_with_growing_pauses(kind: type[ModeldError]) -> None:
    assert pauses(kind, 8) == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("kind", FINAL)
def test_everything_else_waits_for_another_text(kind: type[ModeldError]) -> None:
    assert pauses(kind, 2) == [None, None]


@pytest.mark.parametrize(
    ("kind", "waited", "is_early"),
    [
        (errors.ArtifactNotReady, 0.0, True),
        (errors.LfsPointer, 599.0, True),
        (errors.VersionNotFound, 599.0, True),
        (errors.ArtifactNotReady, 600.0, False),
        (errors.LoadFailed, 0.0, False),
        (errors.Invalid, 0.0, False),
    ],
)
def test_what_may_still_arrive_has_ten_minutes(
    kind: type[ModeldError], waited: float, is_early: bool
) -> None:
    assert is_on_its_way(made(kind), waited) is is_early
