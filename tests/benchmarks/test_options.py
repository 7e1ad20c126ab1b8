"""The command line."""

import pytest

from benchmarks.cases import BUSY
from benchmarks.errors import BenchmarkError
from benchmarks.options import FULL, PARTS, QUICK, SPEED, read_options


def test_everything_is_measured_when_nothing_is_said() -> None:
    options = read_options([])

    assert (options.length, options.parts) == (FULL, frozenset(PARTS))
    assert not options.choice.cases
    assert not options.choice.has_peers


def test_one_cell_can_be_chosen() -> None:
    options = read_options(
        ["--models", "regression", "--connections", "32", "--servers", "modeld,limit"]
    )

    assert options.choice.cases == {BUSY}
    assert options.choice.models == {"regression"}
    assert options.choice.wants_server("modeld")
    assert not options.choice.wants_server("fastapi")
    assert options.parts == {SPEED}


def test_what_is_said_goes_before_what_quick_leaves_out() -> None:
    options = read_options(["--quick", "--models", "boosting"])

    assert options.length == QUICK
    assert options.choice.models == {"boosting"}


@pytest.mark.parametrize(
    "arguments",
    [["--models", "tree"], ["--servers", "django"], ["--connections", "7"], ["--parts", "x"]],
)
def test_an_unknown_name_is_refused_with_the_known_ones(arguments: list[str]) -> None:
    with pytest.raises(BenchmarkError, match="there are"):
        read_options(arguments)
