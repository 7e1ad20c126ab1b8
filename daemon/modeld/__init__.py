"""Serve machine-learning models whose deployments are git commits."""

from importlib import import_module
from typing import Any

__all__ = ["__version__", "save"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Bring `save` when it is asked for: everything else does without it."""
    if name == "save":
        return import_module("modeld.cli.saving").save
    raise AttributeError(f"module 'modeld' has no attribute '{name}'")
