"""Check the nodes of a desired state and convert them to plain values.

`where` is the path of the value in the document, such as `models.churn.active`:
every complaint names it, says what belongs there, and shows what was found.
"""

import difflib
import re
from collections.abc import Sequence

from modeld.desired.yaml_nodes import ListNode, MapNode, Node, ScalarNode, show
from modeld.domain import DEFAULT_MODEL, RESERVED_VERSIONS, is_name, is_version_name
from modeld.errors import Invalid

LATER_KEYS = ("canary", "shadow", "guard")

_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NAME_RULE = "letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"


def mapping_of(node: Node, where: str) -> MapNode:
    """Require a mapping."""
    if not isinstance(node, MapNode):
        raise _wrong_kind(node, where, "keys and values")
    return node


def items_of(node: Node, where: str) -> tuple[Node, ...]:
    """Require a list and return its items."""
    if not isinstance(node, ListNode):
        raise _wrong_kind(node, where, "a list such as [v1, v2]")
    return node.items


def text_of(node: Node, where: str, expected: str) -> str:
    """Require a scalar that is not null and return its text."""
    if not isinstance(node, ScalarNode) or node.is_null:
        raise _wrong_kind(node, where, expected)
    return node.text


def flag_of(node: Node, where: str) -> bool:
    """Require true or false."""
    text = text_of(node, where, "true or false")
    if text not in _FLAGS:
        raise Invalid(f"{where}: expected true or false, found {show(text)}", node.line)
    return _FLAGS[text]


def version_of(node: Node, where: str) -> str:
    """Require the name of a version."""
    text = text_of(node, where, "the name of a version")
    if is_version_name(text):
        return text
    if text in RESERVED_VERSIONS:
        raise Invalid(
            f"{where}: {show(text)} is a reserved word; name the version itself, such as v2",
            node.line,
        )
    raise Invalid(f"{where}: {show(text)} is no version name ({_NAME_RULE})", node.line)


def model_of(node: Node, where: str) -> str:
    """Require the name of a model other than the default one."""
    text = text_of(node, where, "the name of a model")
    if text == DEFAULT_MODEL:
        raise Invalid(
            f"{where}: the model {show(text)} is described by the keys at the top", node.line
        )
    if not is_name(text):
        raise Invalid(f"{where}: {show(text)} is no model name ({_NAME_RULE})", node.line)
    return text


def digest_of(node: Node, where: str) -> str:
    """Require the digest of a version."""
    text = text_of(node, where, "a digest such as sha256:9c1f...")
    if not _DIGEST.fullmatch(text):
        raise Invalid(
            f"{where}: expected sha256: and 64 hexadecimal digits, found {show(text)}", node.line
        )
    return text.lower()


def check_keys(node: MapNode, known: Sequence[str], where: str) -> None:
    """Refuse keys that mean nothing here; `x-...` keys are the user's own."""
    for entry in node.entries:
        key = entry.key.text
        if key in LATER_KEYS:
            raise Invalid(
                f"{where}{key} is not supported by this version of modeld; remove it "
                "(if it were ignored, all traffic would go to `active`)",
                entry.key.line,
            )
        if key not in known and not key.startswith("x-"):
            raise Invalid(f"{where}unknown key {show(key)}; {_hint(key, known)}", entry.key.line)


def _hint(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key[:64].lower(), (*known, *LATER_KEYS), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"


def _wrong_kind(node: Node, where: str, expected: str) -> Invalid:
    return Invalid(f"{where}: expected {expected}, found {_kind(node)}", node.line)


def _kind(node: Node) -> str:
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    return "nothing" if node.is_null else show(node.text)
