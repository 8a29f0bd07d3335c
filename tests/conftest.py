"""One thread for each process of the tests: several run at once, and threads that wait for each other lose time."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
