"""Hold what a change of what serves is made of: the wish, its cause, what was gathered for it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from modeld.control.release import LoadedRelease
from modeld.desired.document import DesiredState
from modeld.domain import ModelVersion
from modeld.errors import ModeldError


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something changes: what set it off, who, and in whose words.

    `began` is when it was seen or called for, in seconds since the epoch; 0 if unknown.
    """

    trigger: str
    actor: str = ""
    reason: str = ""
    began: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """One text of the desired state, understood, with its identity."""

    desired: DesiredState
    text: bytes
    blob: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a wish names, loaded; and what could not be, by version."""

    live: Mapping[str, LoadedRelease]
    failures: Mapping[ModelVersion, ModeldError]


@dataclass(frozen=True, slots=True)
class Steps:
    """What the caller does in between: before the commit, and once everybody serves it."""

    before_commit: Callable[[], Awaitable[None]]
    after_commit: Callable[[], Awaitable[None]]


def named_by(desired: DesiredState) -> tuple[ModelVersion, ...]:
    """Name all versions of a wish, those that are to be live first."""
    live = [ModelVersion(wish.model, wish.active) for wish in desired.models]
    also = [ModelVersion(wish.model, name) for wish in desired.models for name in wish.also]
    return tuple(dict.fromkeys((*live, *also)))
