"""One thread for each process of the tests: several run at once, and threads that wait for each other lose time."""

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    """Matplotlib warns when many are open, in whichever test comes next."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
