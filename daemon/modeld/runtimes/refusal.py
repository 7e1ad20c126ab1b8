"""Have a compiled model fail where its native one fails, and say it in words.

An encoder may have been told to fail on a category that it has not seen. In the compiled model
such a category has a place beyond the end of a table; onnxruntime fails where that is looked
up, and names the operator, whose name says which column it was.
"""

import re

_WORDS = "Found an unknown category in column "
_NAMED = re.compile(rf"Name:'{_WORDS}(.*)' Status Message:", re.DOTALL)


def refusing_name(column: str) -> str:
    """Name the operator that fails where a category of the column is unknown."""
    return _WORDS + column


def find_refusal(error: Exception) -> str:
    """Say what the native model says, where an error is of such an operator; else nothing."""
    found = _NAMED.search(str(error))
    return f"ValueError: {_WORDS}{found[1]}" if found else ""
