"""Lay a comparison of two versions out as rows of texts, for a table on a screen or a page."""

from collections.abc import Iterator
from typing import Any

_PARTS = ("files", "inputs", "outputs", "libraries", "metrics", "trained")
_MARKS = {"same": "", "added": "+", "removed": "-", "changed": "~"}


def rows_of(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Give part, name, the older one, the newer one and a remark for each thing compared."""
    pairs = [("", document["digest"]), ("", document["format"])]
    pairs += [(part, pair) for part in _PARTS for pair in document[part]]
    for part, pair in pairs:
        name = pair.get("name") or pair["path"]
        yield part, name, _cell(pair["before"]), _cell(pair["after"]), _remark(pair)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['size']} bytes {value['sha256'][:12]}".strip()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)[:60]


def _remark(pair: dict[str, Any]) -> str:
    if pair["change"] == "changed" and pair.get("difference") is not None:
        return f"{pair['difference']:+g}"
    return _MARKS[pair["change"]]
