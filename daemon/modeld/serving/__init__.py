"""A worker: the process that answers predictions."""
