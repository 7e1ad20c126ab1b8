"""Run the command as `python -m modeld`."""

from modeld.cli import main

main()
