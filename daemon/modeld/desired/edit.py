"""Change the active version in the text of a desired state.

People keep comments, quotes and an order in that file, and read its history
line by line. So nothing is dumped anew: the nodes tell where the value stands,
and only those characters are replaced. A key that is not there yet is added in
the style around it.

What comes out is not trusted: the caller parses it again.
"""

from modeld.desired.yaml_nodes import MapNode, Node, ScalarNode, read_nodes
from modeld.domain import DEFAULT_MODEL
from modeld.errors import Invalid

_BYTE_ORDER_MARK = "\ufeff"

Path = tuple[str, ...]


def write_active(text: str, model: str, version: str) -> str:
    """Return the text with another active version of a model.

    Raises Invalid when something else stands where the version or its model belongs.
    """
    body = text.removeprefix(_BYTE_ORDER_MARK)
    mark = text[: len(text) - len(body)]
    path = ("active",) if model == DEFAULT_MODEL else ("models", model, "active")
    root = read_nodes(body)
    if root is None or (_is_null(root) and root.start == root.end):
        return mark + _append_line(body, _entry(path, version))
    return mark + _set(body, root, path, version)


def _set(text: str, node: Node, path: Path, version: str) -> str:
    """Set the value that a path leads to, seen from a node."""
    if _is_null(node):
        value = f"{{{_entry(path, version)}}}" if path else _plain(version)
        gap = " " if node.start == node.end else ""
        return _splice(text, node.start, node.end, gap + value)
    if not path:
        return _replace(text, node, version)
    if not isinstance(node, MapNode):
        raise Invalid("expected keys and values here", node.line)
    child = node.get(path[0])
    if child is None:
        return _insert(text, node, path, version)
    return _set(text, child, path[1:], version)


def _replace(text: str, node: Node, version: str) -> str:
    """Replace one scalar, in the quotes that it has."""
    if not isinstance(node, ScalarNode):
        raise Invalid("expected the name of a version here", node.line)
    old = text[node.start : node.end]
    line_end = old[len(old.rstrip()) :]  # a block scalar reaches into the next line
    quote = node.style if node.style in ("'", '"') else ""
    value = f"{quote}{version}{quote}" if quote else _plain(version)
    return _splice(text, node.start, node.end, value + line_end)


def _insert(text: str, node: MapNode, path: Path, version: str) -> str:
    """Add an entry: the version a model lives by first, another model last."""
    entry = _entry(path, version)
    if not node.entries:
        return _splice(text, node.start + 1, node.start + 1, entry)
    comes_first = len(path) == 1
    at = node.entries[0].key.start if comes_first else _last(node.entries[-1].value)
    if node.is_flow:
        return _splice(text, at, at, f"{entry}, " if comes_first else f", {entry}")
    indent = " " * (node.start - text.rfind("\n", 0, node.start) - 1)
    if comes_first:
        return _splice(text, at, at, f"{entry}{_line_end(text)}{indent}")
    at = _end_of_line(text, at)
    return _splice(text, at, at, f"{_line_end(text)}{indent}{entry}")


def _last(node: Node) -> int:
    """Find where the last word of a node ends, before the comments that follow it."""
    if isinstance(node, ScalarNode) or node.is_flow:
        return node.end
    if isinstance(node, MapNode):
        return _last(node.entries[-1].value)
    return _last(node.items[-1])


def _end_of_line(text: str, index: int) -> int:
    """Find the end of the line of `index`; a block scalar ends after its line break."""
    if text[:index].endswith("\n"):
        return index - (2 if text[:index].endswith("\r\n") else 1)
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return end - 1 if text[:end].endswith("\r") else end


def _append_line(text: str, line: str) -> str:
    line_end = _line_end(text)
    gap = line_end if text and not text.endswith("\n") else ""
    return f"{text}{gap}{line}{line_end}"


def _splice(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _entry(path: Path, version: str) -> str:
    """Write `models: {churn: {active: v1}}` for the path that leads there."""
    *outer, last = path
    entry = f"{last}: {_plain(version)}"
    for key in reversed(outer):
        entry = f"{_plain(key)}: {{{entry}}}"
    return entry


def _plain(name: str) -> str:
    """Write a name without quotes, unless YAML would take it for nothing."""
    return f'"{name}"' if name.lower() == "null" else name


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null
