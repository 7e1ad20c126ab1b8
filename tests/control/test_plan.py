import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.control.plan import to_unload
from modeld.domain import ModelVersion

V = [ModelVersion("default", f"v{number}") for number in range(6)]
NOW = 1000.0


def unloaded(
    last_used: dict[int, float], wanted: set[int], keep_warm: float = 60, max_loaded: int = 2
) -> list[int]:
    found = to_unload(
        [V[n] for n in wanted],
        {V[n]: at for n, at in last_used.items()},
        NOW,
        keep_warm=keep_warm,
        max_loaded=max_loaded,
    )
    return [V.index(version) for version in found]


@pytest.mark.parametrize(
    ("last_used", "wanted", "gone"),
    [
        pytest.param({}, set(), [], id="nothing is loaded"),
        pytest.param({0: NOW}, {0, 1}, [], id="something is not loaded yet"),
        pytest.param({0: 0.0}, {0}, [], id="a wanted version may be idle for ever"),
        pytest.param({0: NOW, 1: NOW - 59}, {0}, [], id="warm"),
        pytest.param({0: NOW, 1: NOW - 60}, {0}, [], id="just warm"),
        pytest.param({0: NOW, 1: NOW - 61}, {0}, [1], id="idle for too long"),
        pytest.param({0: NOW, 1: NOW - 1, 2: NOW - 2, 3: NOW - 3}, {0}, [3], id="too many"),
        pytest.param({0: NOW - 9, 1: NOW, 2: NOW - 1, 3: NOW - 3}, set(), [3, 0], id="the oldest"),
        pytest.param({0: NOW, 1: NOW, 2: NOW, 3: NOW}, {0, 1, 2, 3}, [], id="all are wanted"),
        pytest.param({1: NOW - 99, 2: NOW - 99}, set(), [1, 2], id="all are idle"),
    ],
)
def test_what_is_let_go(last_used: dict[int, float], wanted: set[int], gone: list[int]) -> None:
    assert sorted(unloaded(last_used, wanted)) == sorted(gone)


def test_nothing_may_stay_warm() -> None:
    assert unloaded({0: NOW, 1: NOW}, {0}, max_loaded=0) == [1]
    assert unloaded({0: NOW, 1: NOW - 1}, {0}, keep_warm=0) == [1]


@given(
    last_used=st.dictionaries(st.integers(0, 5), st.floats(0, NOW)),
    wanted=st.sets(st.integers(0, 5)),
    keep_warm=st.floats(0, NOW),
    max_loaded=st.integers(0, 4),
)
def test_rules_that_always_hold(
    last_used: dict[int, float], wanted: set[int], keep_warm: float, max_loaded: int
) -> None:
    gone = set(unloaded(last_used, wanted, keep_warm, max_loaded))
    kept = set(last_used) - gone - wanted

    assert gone <= set(last_used) - wanted
    assert len(kept) <= max_loaded
    assert all(NOW - last_used[number] <= keep_warm for number in kept)
    assert all(last_used[k] >= last_used[g] or last_used[k] == NOW for k in kept for g in gone)
