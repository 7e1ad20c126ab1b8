"""The control process's side of HTTP: admin calls and metrics."""
