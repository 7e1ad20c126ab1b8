"""What can stop a benchmark."""


class BenchmarkError(Exception):
    """The run cannot go on, or its figures would not be what they claim to be."""
