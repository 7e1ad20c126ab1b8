"""Write moments as people and programs read them."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """Write a time as people and programs read it: UTC, to the millisecond."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
