"""Shared by all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

# On arrays as small as the tests', threads wait for one another more than they work.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Whatever a command under test set is undone."""
    yield
    torch.set_num_threads(1)


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A function that gives the path of a real data file, or skips the test where the data are absent."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"real data absent: ../shared/data/{relative}")
        return path

    return find
