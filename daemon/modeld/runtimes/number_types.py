"""Say which numbers a column takes, by the type that its model or manifest names."""

import numpy as np

from modeld.domain import InputColumn

_LARGEST_WHOLE = (1 << 53) - 1  # above it, a float may have been another whole number


def whole_range(kind: str) -> tuple[int, int]:
    """Give the least and the greatest whole number of a type, of those that a float can hold."""
    if kind == "bool":
        return 0, 1
    limits = np.iinfo(kind)
    return max(int(limits.min), -_LARGEST_WHOLE), min(int(limits.max), _LARGEST_WHOLE)


def wanted_in(column: InputColumn) -> str:
    """Say what a column takes."""
    if column.is_text:
        return "a text"
    if column.is_plain:
        return "a number"
    if column.type == "bool":
        return "a truth value, or 0 or 1"
    return "a whole number from {:,} to {:,}".format(*whole_range(column.type))
