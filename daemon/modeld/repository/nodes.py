"""Read a small YAML document strictly, one entry at a time.

Every scalar arrives as the text that stands in the file, and whoever reads an
entry says what it must be: `1.10` stays a version and `no` stays a word. What
makes YAML surprising is refused: aliases, tags, keys given twice, further
documents, depth. Each refusal names the file, the line and the entry.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import yaml

from modeld.domain import Scalar
from modeld.errors import ManifestInvalid

DEEPEST = 16

_SHOWN = 60

# libyaml's parser is an extra of PyYAML; it is ten times quicker and reads the same.
_LOADER = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader

_WHOLE = re.compile(r"[0-9]{1,18}")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,400})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a document: where it stands, and what it must be."""

    file: str
    name: str
    line: int
    node: yaml.Node

    def refuse(self, problem: str) -> ManifestInvalid:
        """Say what is wrong with this entry."""
        name = f"{self.name}: " if self.name else ""
        return ManifestInvalid(f"{self.file}, line {self.line}: {name}{problem}")

    def text(self) -> str:
        """Read a text that is not empty."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.refuse(f"expected a text, found {_kind(self.node)}")
        value = str(self.node.value)
        if not value:
            raise self.refuse("it is empty")
        return value

    def choice(self, options: Collection[str]) -> str:
        """Read one of a few words."""
        value = self.text()
        if value not in options:
            raise self.refuse(f"expected one of {', '.join(options)}, found {_short(value)}")
        return value

    def flag(self) -> bool:
        """Read `true` or `false`."""
        return self.choice(("true", "false")) == "true"

    def whole(self) -> int:
        """Read a whole number, zero or more."""
        value = self.text()
        if not _WHOLE.fullmatch(value):
            raise self.refuse(f"expected a whole number, found {_short(value)}")
        return int(value)

    def number(self) -> float:
        """Read a finite number."""
        value = self.text()
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise self.refuse(f"expected a number, found {_short(value)}")
        return float(value)

    def scalar(self) -> Scalar:
        """Read what JSON would read; other words, and all that is quoted, are texts."""
        # A plain scalar has the style None, or an empty one where libyaml has read it.
        if isinstance(self.node, yaml.ScalarNode) and self.node.style:
            return str(self.node.value)
        value = self.text()
        if value in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[value]
        if _INTEGER.fullmatch(value):
            return int(value)
        return self.number() if _NUMBER.fullmatch(value) else value

    def items(self) -> tuple["Entry", ...]:
        """Read a list that is not empty."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.refuse(f"expected a list, found {_kind(self.node)}")
        if not self.node.value:
            raise self.refuse("it is empty")
        return tuple(
            Entry(self.file, f"{self.name}[{i}]", _line(node), node)
            for i, node in enumerate(self.node.value)
        )

    def entries(self) -> Mapping[str, "Entry"]:
        """Read keys and values; the keys may be any text."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refuse(f"expected keys and values, found {_kind(self.node)}")
        found: dict[str, Entry] = {}
        for key_node, node in self.node.value:
            key = Entry(self.file, self.name, _line(key_node), key_node)
            name = key.text()
            if name in found:
                raise key.refuse(f"the key {_short(name)} is given twice")
            found[name] = Entry(self.file, self._below(name), key.line, node)
        return found

    def fields(self, known: Collection[str]) -> Mapping[str, "Entry"]:
        """Read keys and values; the keys are those known, or start with `x-`."""
        found = self.entries()
        for name, entry in found.items():
            if name not in known and not name.startswith("x-"):
                raise entry.refuse(f"unknown key{_meant(name, known)}")
        return {name: entry for name, entry in found.items() if name in known}

    def field(self, fields: Mapping[str, "Entry"], name: str) -> "Entry":
        """Take one of the fields, which must be there."""
        if name not in fields:
            raise self.refuse(f"the key {name} is missing")
        return fields[name]

    def _below(self, name: str) -> str:
        return f"{self.name} > {name[:_SHOWN]}" if self.name else name[:_SHOWN]


def optional(
    fields: Mapping[str, Entry], name: str, read: Callable[[Entry], T], default: D
) -> T | D:
    """Read a field if it is given."""
    return read(fields[name]) if name in fields else default


def read_document(file: str, content: bytes) -> Entry:
    """Parse a text into its topmost entry. `file` is what messages call it."""
    try:
        text = content.decode("utf-8-sig")
        _check_events(file, text)
        node = yaml.compose(text, Loader=_LOADER)
    except UnicodeDecodeError as error:
        raise ManifestInvalid(f"{file}: it is not UTF-8") from error
    except yaml.YAMLError as error:
        raise ManifestInvalid(f"{file}{_problem(error)}") from error
    if node is None:
        raise ManifestInvalid(f"{file}: it is empty")
    return Entry(file, "", _line(node), node)


def _check_events(file: str, text: str) -> None:
    """Refuse what a tree of nodes no longer shows, and depth before anything recurses."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        problem = _event_problem(event)
        if documents > 1:
            problem = "a second document; only one is read"
        if depth > DEEPEST:
            problem = f"nested deeper than {DEEPEST}"
        if problem:
            raise ManifestInvalid(f"{file}, line {_line(event)}: {problem}")


def _event_problem(event: yaml.Event) -> str:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        return "anchors and aliases are not read; write the value out"
    if getattr(event, "tag", None):
        return f"tags are not read; leave {_short(str(getattr(event, 'tag', '')))} out"
    return ""


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f", line {error.problem_mark.line + 1}: {error.problem}"
    return ": it is not YAML that can be read"


def _line(where: yaml.Node | yaml.Event) -> int:
    return where.start_mark.line + 1 if where.start_mark else 1


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "keys and values"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return _short(str(node.value)) if node.value else "nothing"


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _short(value: str) -> str:
    return json.dumps(value if len(value) <= _SHOWN else value[:_SHOWN] + "…", ensure_ascii=False)
