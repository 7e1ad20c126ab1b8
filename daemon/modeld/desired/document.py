"""Turn the text of the desired state into its meaning, and a change into text.

Nothing here reads files or clocks: the same bytes always give the same
`DesiredState`, or one error that names the line. What a document cannot say is
refused and never guessed, since an unknown key that is silently dropped may be
the very one that was to protect the users.

Whether the versions exist is not asked here; the repository knows.
"""

import hashlib
from dataclasses import dataclass, replace

from modeld.desired.decoding import decode
from modeld.desired.edit import write_active
from modeld.desired.fields import (
    check_keys,
    digest_of,
    flag_of,
    items_of,
    mapping_of,
    model_of,
    text_of,
    version_of,
)
from modeld.desired.yaml_nodes import MapNode, Node, ScalarNode, read_nodes, show
from modeld.domain import DEFAULT_MODEL, is_name, is_version_name
from modeld.errors import Invalid, NewerSchema, StateEmpty, WishError

SCHEMA = 1

_MODEL_KEYS = ("active", "pins", "also")
_TOP_KEYS = (*_MODEL_KEYS, "models", "freeze", "note", "schema")


@dataclass(frozen=True, slots=True)
class Pin:
    """The digest that a version must have."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class ModelWish:
    """What one model shall serve: `active` to everybody, `also` to those who ask by name."""

    model: str
    active: str
    pins: tuple[Pin, ...] = ()
    also: tuple[str, ...] = ()

    def pin_of(self, version: str) -> str | None:
        """Return the digest that a version is pinned to."""
        return next((pin.digest for pin in self.pins if pin.version == version), None)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The parsed desired state. The default model, if wished for, comes first."""

    models: tuple[ModelWish, ...]
    freeze: bool = False
    note: str = ""

    def model(self, name: str) -> ModelWish | None:
        """Return what is wished for a model."""
        return next((wish for wish in self.models if wish.model == name), None)


def blob_id(data: bytes) -> str:
    """Compute the id that git gives to a file of these bytes."""
    head = b"blob %d\0" % len(data)
    return hashlib.sha1(head + data, usedforsecurity=False).hexdigest()


def parse(data: bytes) -> DesiredState:
    """Read the bytes of a desired state.

    Raises StateEmpty when they say nothing, NewerSchema when they are written for
    a newer modeld, and Invalid for everything else that breaks a rule.
    """
    root = read_nodes(decode(data).removeprefix("\ufeff"))
    if root is None or (isinstance(root, ScalarNode) and root.is_null):
        raise StateEmpty("the desired state is empty; it needs at least `active: VERSION`")
    if isinstance(root, ScalarNode):
        # It isn't shown: where the file is a link, it may be anything, and anybody may ask.
        raise Invalid("top level: expected keys and values, found a text alone", root.line)
    top = mapping_of(root, "top level")
    _check_schema(top.get("schema"))
    check_keys(top, _TOP_KEYS, "")
    freeze, note = top.get("freeze"), top.get("note")
    return DesiredState(
        models=_models(top),
        freeze=flag_of(freeze, "freeze") if freeze else False,
        note=text_of(note, "note", "a text").strip() if note else "",
    )


def set_active(text: str, model: str, version: str) -> str:
    """Return the text with another active version of one model, and nothing else changed.

    A text that names the model nowhere gets an entry for it. Raises Invalid when
    the text cannot be edited so that it says what is wanted.
    """
    if not (is_name(model) and is_version_name(version)):
        raise Invalid(f"cannot set {show(model)} to {show(version)}: no such name is allowed")
    before = text.encode("utf-8", "surrogatepass")
    after = write_active(decode(before), model, version)
    state = parse(after.encode())
    if state != _with_active(_parse_or(before, state), model, version):
        raise Invalid(f"cannot set the active version of {show(model)} here; edit it by hand")
    return after


def _parse_or(data: bytes, default: DesiredState) -> DesiredState:
    try:
        return parse(data)
    except WishError:
        return default


def _with_active(state: DesiredState, model: str, version: str) -> DesiredState:
    """Change the active version of one model in a parsed state."""
    if state.model(model) is not None:
        models = tuple(
            replace(wish, active=version) if wish.model == model else wish for wish in state.models
        )
        return replace(state, models=models)
    wish = ModelWish(model, version)
    is_default = model == DEFAULT_MODEL
    return replace(state, models=(wish, *state.models) if is_default else (*state.models, wish))


def _check_schema(node: Node | None) -> None:
    """Refuse other schemas first: a newer one may have keys that are unknown here."""
    if node is None:
        return
    text = text_of(node, "schema", "a number")
    if not (text.isascii() and text.isdecimal() and text.strip("0")):
        raise Invalid(f"schema: expected {SCHEMA}, found {show(text)}", node.line)
    if text.lstrip("0") != str(SCHEMA):
        raise NewerSchema(
            f"schema {show(text)} is newer than this modeld, which knows {SCHEMA}; upgrade it",
            node.line,
        )


def _models(top: MapNode) -> tuple[ModelWish, ...]:
    named = top.get("models")
    default = _default_model(top, required=named is None)
    if named is None:
        return default
    entries = mapping_of(named, "models").entries
    if not entries and not default:
        raise Invalid("no model has an active version; add `active: VERSION`", named.line)
    return (*default, *(_named_model(entry.key, entry.value) for entry in entries))


def _default_model(top: MapNode, *, required: bool) -> tuple[ModelWish, ...]:
    if required or any(top.get(key) is not None for key in _MODEL_KEYS):
        return (_wish(top, DEFAULT_MODEL, ""),)
    return ()


def _named_model(key: ScalarNode, value: Node) -> ModelWish:
    # A model may be called x-1: under `models`, keys are names and never the user's own.
    name = model_of(key, "models")
    node = mapping_of(value, f"models.{name}")
    check_keys(node, _MODEL_KEYS, f"models.{name}: ")
    return _wish(node, name, f"models.{name}.")


def _wish(node: MapNode, model: str, prefix: str) -> ModelWish:
    active, pins, also = (node.get(key) for key in _MODEL_KEYS)
    if active is None:
        raise Invalid(f"{prefix}active is missing; say which version is live", node.line)
    return ModelWish(
        model=model,
        active=version_of(active, f"{prefix}active"),
        pins=_pins(pins, f"{prefix}pins") if pins else (),
        also=_also(also, f"{prefix}also") if also else (),
    )


def _pins(node: Node, where: str) -> tuple[Pin, ...]:
    entries = mapping_of(node, where).entries
    return tuple(Pin(version_of(e.key, where), digest_of(e.value, where)) for e in entries)


def _also(node: Node, where: str) -> tuple[str, ...]:
    versions = (version_of(item, where) for item in items_of(node, where))
    return tuple(dict.fromkeys(versions))
