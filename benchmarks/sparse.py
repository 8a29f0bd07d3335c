"""Twenty learning rates on news20 made binary (sparse, 62,061 columns): lanes against one plain sparse loop per rate.

    DATA_DIR=/folder/with/data .venv/bin/python -m benchmarks.sparse

All take batches of 256 rows, with AdaGrad in float32. A plain loop is the usual one: the loss of the batch's entries
by autograd, `torch.optim.Adagrad`; beside it the quickest one we could write by hand (scipy, no autograd). They are
timed in turns in one process.
"""

import resource
import statistics
import time

import numpy as np
import torch
from scipy import sparse
from scipy.special import expit

from experiments import config
from experiments.estimate import Nowhere
from experiments.job import Job
from experiments.loop import Loop
from experiments.tasks.linear import LinearTask

RATES = [0.01 * 1.5**i for i in range(20)]
WORDS = ["task=logistic/news20", "optimizer=adagrad", "batch_size.size=256", "budget.steps=100000", "record=ends"]
STEPS, ROUNDS = 40, 7


class Plain:
    """One rate, as it is usually written."""

    def __init__(self, task: LinearTask, matrix: sparse.csr_array, lr: float) -> None:
        self.matrix, self.order = matrix, torch.Generator().manual_seed(0)
        self.weight = torch.zeros(matrix.shape[1], requires_grad=True)
        self.optimizer = torch.optim.Adagrad([self.weight], lr=lr)

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            rows = self.matrix[torch.randint(self.matrix.shape[0], (256,), generator=self.order).numpy()]
            row = torch.repeat_interleave(torch.from_numpy(np.diff(rows.indptr)))
            entries = self.weight[torch.from_numpy(rows.indices)] * torch.from_numpy(rows.data)
            self.optimizer.zero_grad()
            torch.nn.functional.softplus(-torch.zeros(256).index_add(0, row, entries)).mean().backward()
            self.optimizer.step()


class ByHand:
    """One rate, without autograd and without torch."""

    def __init__(self, matrix: sparse.csr_array, lr: float) -> None:
        self.matrix, self.lr, self.order = matrix, np.float32(lr), np.random.default_rng(0)
        self.weight = np.zeros(matrix.shape[1], dtype=np.float32)
        self.sum = np.zeros_like(self.weight)

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            rows = self.matrix[self.order.integers(self.matrix.shape[0], size=256)]
            slopes = -expit(-(rows @ self.weight)) / np.float32(256)
            gradient = rows.T @ slopes
            self.sum += gradient * gradient
            self.weight -= self.lr * gradient / (np.sqrt(self.sum) + np.float32(1e-10))


def timed(advance, steps: int) -> float:
    began = time.perf_counter()
    advance(steps)
    return (time.perf_counter() - began) / steps * 1e3


def main() -> None:
    request = config.request([*WORDS, f"lanes.lr={RATES}".replace(" ", "")])
    loop = Loop(Job(tuple(request.runs)), Nowhere())
    task = request.runs[0].experiment.task
    assert isinstance(task, LinearTask)
    matrix = sparse.csr_array(task.arrays()[0].astype(np.float32))
    plain, by_hand = Plain(task, matrix, 0.1), ByHand(matrix, 0.1)
    contenders = {"20 lanes": loop.advance, "plain loop": plain.advance, "loop by hand": by_hand.advance}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS + 1):
        for name, advance in contenders.items():
            spent = timed(advance, STEPS)
            if turn:  # the first is a rehearsal
                times[name].append(spent)
    lanes = times["20 lanes"]
    for name, spent in times.items():
        print(f"{name:13s} {statistics.median(spent):7.3f} ms a step")
    for name in ("plain loop", "loop by hand"):
        ratios = sorted(20 * other / own for own, other in zip(lanes, times[name], strict=True))
        print(f"20 lanes are {statistics.median(ratios):.1f} times cheaper than 20 of: {name} "
              f"({ratios[0]:.1f} to {ratios[-1]:.1f})")  # fmt: skip
    print(f"memory of the process at its largest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
