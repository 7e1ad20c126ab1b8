"""A log of a test's own."""

import logging

import pytest

from modeld import log


def log_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with a log that is not set up, and leave it as it was."""
    monkeypatch.setattr(log, "_setup", log._Setup())
    monkeypatch.setattr(log, "_kept", log._kept)
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
