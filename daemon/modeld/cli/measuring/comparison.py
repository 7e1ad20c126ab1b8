"""Put two versions side by side: how good, how alike, and what can be said of it."""

from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np

from modeld.cli.measuring.answered import Agreement, Written, labels_of, parts
from modeld.cli.measuring.bootstrap import intervals
from modeld.cli.measuring.measures import Measure, Measuring, OfClasses, OfNumbers
from modeld.errors import TableInvalid
from modeld.runtimes.model import Array

FEWEST_ROWS = 30
"""With fewer rows no interval of the bootstrap is to be trusted."""


_LISTED = 5


class Interval(NamedTuple):
    """A value, and between what it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of both versions, and what the second has more of it than the first."""

    measure: Measure
    first: Interval
    second: Interval
    difference: Interval

    @property
    def gain(self) -> int:
        """1 where the second version is surely better, -1 where it is surely worse, else 0."""
        sign = int(self.difference.low > 0) - int(self.difference.high < 0)
        return sign if self.measure.is_gain else -sign


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found. There are no measures without a target."""

    agreement: Agreement
    measured: tuple[Measured, ...]


def compare(first: Written, second: Written, *, is_classes: bool) -> Comparison:
    """Read the answers of both versions; twice where there are classes to be found first.

    Raises `TableInvalid` where the target has nothing in common with what is answered.
    """
    agreement = Agreement(is_classes)
    measuring = _measuring(first, second, is_classes=is_classes) if first.has_truths else None
    for part in parts(first, second):
        agreement.add(part)
        if measuring is not None:
            measuring.add(part)
    return Comparison(agreement, _measured(measuring) if measuring else ())


def _measuring(first: Written, second: Written, *, is_classes: bool) -> Measuring:
    if not is_classes:
        return OfNumbers()
    true, answered = labels_of(parts(first, second))
    if not len(np.intersect1d(true, answered)):
        raise TableInvalid(
            f"the target has {_some(true)}, and the versions answer {_some(answered)}: "
            "is it the right column?"
        )
    has_losses = first.has_losses and second.has_losses
    return OfClasses(np.union1d(true, answered), has_losses=has_losses)


def _some(labels: Array) -> str:
    listed = ", ".join(map(str, labels[:_LISTED].tolist()))
    return f"{listed}, …" if len(labels) > _LISTED else listed


def _measured(measuring: Measuring) -> tuple[Measured, ...]:
    found = intervals(measuring.sums(), measuring.compute)
    every = [
        Interval(*map(float, each))
        for each in zip(found.values, found.low, found.high, strict=True)
    ]
    count = len(measuring.measures)
    return tuple(
        Measured(measure, every[index], every[count + index], every[2 * count + index])
        for index, measure in enumerate(measuring.measures)
        if not isnan(every[index].value)  # as R² of a constant is
    )


def verdict(found: Comparison, first: str, second: str) -> str:
    """Say in a sentence which version is better, by the first measure."""
    rows = found.agreement.rows
    if found.agreement.equal == rows:
        return f"no difference: {first} and {second} answer the same on all {rows:,} rows"
    if not found.measured:
        return (
            f"{first} and {second} agree on {found.agreement.share:.1%} of {rows:,} rows; "
            "which of them is right, only --target can tell"
        )
    if rows < FEWEST_ROWS:
        return f"{rows} rows are too few for a verdict; {FEWEST_ROWS} are the least"
    main, *others = found.measured
    also = [each for each in others if each.gain not in (0, main.gain)]
    more = "".join(f"; but {_said(each)}, which is {_word(each)}" for each in also)
    if main.gain:
        return f"{second} is {_word(main)}: {_said(main)}{more}"
    return f"no difference that {rows:,} rows can show: {_said(main)}{more}"


def _word(measured: Measured) -> str:
    return "better" if measured.gain > 0 else "worse"


def _said(measured: Measured) -> str:
    value, low, high = measured.difference
    label = measured.measure.label
    if measured.measure.is_share:
        return f"{label} {100 * value:+.1f} points ({_points(low)} to {_points(high)})"
    return f"{label} {value:+.3g} ({low:.3g} to {high:.3g})"


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"
