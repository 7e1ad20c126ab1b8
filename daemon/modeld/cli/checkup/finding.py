"""What a check found: how bad it is, in one line, and the command that cures it."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    check: str
    level: Level
    message: str
    cure: str = ""

    def document(self) -> dict[str, str]:
        """Write it for a program."""
        return asdict(self)


def ok(check: str, message: str) -> Finding:
    """Say that nothing is wrong here."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, *cure: str | Path) -> Finding:
    """Say what will do harm one day."""
    return Finding(check, "warning", message, command(*cure))


def problem(check: str, message: str, *cure: str | Path) -> Finding:
    """Say what does harm now."""
    return Finding(check, "problem", message, command(*cure))


def command(*words: str | Path) -> str:
    """Write a command that may be pasted: a name with a space or a semicolon stays a name."""
    return shlex.join(map(str, words))
