"""What the parts of a worker are made from."""

import os
from collections.abc import Iterator

import pytest

from modeld.slots import Slots, create_file


@pytest.fixture
def slots() -> Iterator[Slots]:
    descriptor = create_file()
    yield Slots(descriptor)
    os.close(descriptor)
