"""Read YAML into nodes that remember where they stand in the text.

Every scalar stays the text that was written: YAML's own idea of types turns the
version `1.10` into a number and the version `no` into a truth value. What a
desired state never needs is refused with its line: aliases and anchors (a few
bytes may stand for gigabytes), tags (they can name code), second documents,
duplicate keys (a bad merge leaves both), deep nesting and thousands of values.

Nodes are made from parser events and not by PyYAML's composer, which recurses
in C without a limit and takes seconds for a folder of brackets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from modeld.errors import Invalid

MAX_DEPTH = 20
MAX_EVENTS = 10_000

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_UNFINISHED = ("found unexpected end of stream", "could not find expected ':'")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One word, number or text, as written. `style` is its quote character, if any."""

    text: str
    line: int
    start: int
    end: int
    style: str = ""

    @property
    def is_null(self) -> bool:
        """Whether YAML reads this as no value at all."""
        return not self.style and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class ListNode:
    """Items in their order. `is_flow` tells `[a, b]` from lines of their own."""

    items: tuple["Node", ...]
    line: int
    start: int
    end: int
    is_flow: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and its value."""

    key: ScalarNode
    value: "Node"


@dataclass(frozen=True, slots=True)
class MapNode:
    """Keys and values in their order. `is_flow` tells `{a: b}` from lines of their own."""

    entries: tuple[Entry, ...]
    line: int
    start: int
    end: int
    is_flow: bool

    def get(self, key: str) -> "Node | None":
        """Return the value of a key, if the key is there."""
        return next((entry.value for entry in self.entries if entry.key.text == key), None)


Node = ScalarNode | ListNode | MapNode


def show(text: str) -> str:
    """Quote a text for a message: one line, ASCII only, and not too long."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def read_nodes(text: str) -> Node | None:
    """Read the only document of a text; None when there is none.

    Raises Invalid with the line at fault.
    """
    events = _events(text)
    root: Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise Invalid("a second document starts here; only one is read", _line(event))
            root = _node(next(events), events, depth=0)
    return root


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield parser events, with YAML's own complaints turned into ours."""
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            if count > MAX_EVENTS:
                raise Invalid(f"more than {MAX_EVENTS} keys and values", _line(event))
            yield event
    except yaml.MarkedYAMLError as error:
        raise Invalid(f"not valid YAML: {error.problem}", _error_line(error)) from error
    except yaml.YAMLError as error:
        raise Invalid(f"not valid YAML: {' '.join(str(error).split())}") from error


def _error_line(error: yaml.MarkedYAMLError) -> int | None:
    """Pick the line to show: what is never finished is at fault where it began."""
    mark = error.problem_mark
    if mark is None or error.problem in _UNFINISHED:
        mark = error.context_mark or mark
    return mark.line + 1 if mark else None


def _node(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
    """Build the node that begins with an event."""
    _refuse_tricks(event, depth)
    if isinstance(event, yaml.ScalarEvent):
        return ScalarNode(event.value, *_place(event, event), event.style or "")
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(event, events, depth + 1)
    return _list(event, events, depth + 1)


def _refuse_tricks(event: yaml.Event, depth: int) -> None:
    """Refuse what could make a small text mean much, or mean code."""
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise Invalid("anchors and aliases are not allowed; write the value out", _line(event))
    if tag := getattr(event, "tag", None):
        raise Invalid(f"tags are not allowed, found {show(str(tag))}", _line(event))
    if depth > MAX_DEPTH:
        raise Invalid(f"nested deeper than {MAX_DEPTH} levels", _line(event))


def _list(start: yaml.Event, events: Iterator[yaml.Event], depth: int) -> ListNode:
    items: list[Node] = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        items.append(_node(event, events, depth))
    return ListNode(tuple(items), *_place(start, event), _is_flow(start))


def _mapping(start: yaml.Event, events: Iterator[yaml.Event], depth: int) -> MapNode:
    entries: dict[str, Entry] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(_node(event, events, depth), entries)
        entries[key.text] = Entry(key, _node(next(events), events, depth))
    return MapNode(tuple(entries.values()), *_place(start, event), _is_flow(start))


def _key(node: Node, known: dict[str, Entry]) -> ScalarNode:
    if not isinstance(node, ScalarNode):
        raise Invalid("a key must be a plain word, not a list or mapping", node.line)
    if node.text in known:
        first = known[node.text].key.line
        raise Invalid(f"key {show(node.text)} is already given on line {first}", node.line)
    return node


def _is_flow(start: yaml.Event) -> bool:
    return bool(getattr(start, "flow_style", False))


def _place(first: yaml.Event, last: yaml.Event) -> tuple[int, int, int]:
    """Return the line of a node and where it starts and ends in the text."""
    start, end = first.start_mark, last.end_mark
    return _line(first), start.index if start else 0, end.index if end else 0


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
