"""Say what is asked of a server: how many rows in a request, over how many connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One way to ask. The payload is one row, or many."""

    rows: int
    connections: int

    def __str__(self) -> str:
        rows = "one row" if self.rows == 1 else f"{self.rows:,} rows"
        plural = "" if self.connections == 1 else "s"
        return f"{rows}, {self.connections} connection{plural}"


MANY_ROWS = 1_000

ALONE = Case(1, 1)
BUSY = Case(1, 32)
BULK = Case(MANY_ROWS, 8)

BRIEF = (ALONE, BUSY)
THOROUGH = (ALONE, Case(1, 8), BUSY, Case(1, 128), BULK)
