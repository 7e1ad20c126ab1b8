"""Speak git: run it safely, read a work tree, commit and push, follow a remote."""
