"""Serve machine-learning models whose deployments are git commits."""

__version__ = "0.1.0"
