"""How many threads a step is worth.

A second thread gains nothing on a small step, and on a machine that is busy with something else it loses a lot: a
thread that waits for another one to be scheduled can wait for milliseconds (measured: 50 microseconds became 14,000).
The choice depends on the size of the step alone, so that a resumed run makes the same one.
"""

import torch

SMALL = 1 << 20  # multiplications; below, one thread is as quick (measured on two cores)


class Threads:
    """Sets torch's number of threads, between one and what it was at first."""

    def __init__(self) -> None:
        self._most = self._now = torch.get_num_threads()

    def __enter__(self) -> None:
        """Nothing yet; on leaving, all threads are back."""

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.all()

    def suit(self, work: int) -> None:
        """Use one thread for a step of less than SMALL multiplications (parameters of all lanes times examples)."""
        self._set(1 if work < SMALL else self._most)

    def all(self) -> None:
        """Use all threads."""
        self._set(self._most)

    def _set(self, count: int) -> None:
        if count != self._now:
            torch.set_num_threads(count)
            self._now = count
