"""Leave the log as it was."""

import logging

import pytest

from modeld import log


def log_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what a test sets up for the whole process undone at its end."""
    monkeypatch.setattr(log, "_setup", log._setup)
    monkeypatch.setattr(log, "_kept", log._kept)
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
