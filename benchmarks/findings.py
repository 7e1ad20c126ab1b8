"""Hold everything that a run found, for the report and for the file of raw results."""

from dataclasses import dataclass

from benchmarks.measure import Absence, Round
from benchmarks.starting import Start
from benchmarks.switching import Switching


@dataclass(frozen=True, slots=True)
class Findings:
    """All results. A part that was not measured is empty."""

    rounds: tuple[Round, ...] = ()
    absences: tuple[Absence, ...] = ()
    starts: tuple[Start, ...] = ()
    switching: tuple[Switching, ...] = ()
