"""Training steps with a norm test at every one against plain steps of the same size, interleaved in one process.

`python -m benchmarks.adaptive_steps [--rounds 11]`. Images are made up, of MNIST's shape; AdaGrad in single precision.
Ratios are medians over rounds, in seconds of the training clock.
"""

import argparse
import statistics
import time
from typing import Any

from experiments import config
from experiments.job import Job
from experiments.loop import Loop

CASES = {  # model, batch sizes, bar
    "logistic regression": ("linear", (64, 512, 2048), 1.3),
    "MLP": ("mlp", (64, 512), 1.3),
    "MNIST CNN": ("mnist_cnn", (64, 256), 1.7),
}
_EXAMPLES = 4096  # of a round


class Nowhere:
    """A sink that keeps nothing."""

    def append(self, row: dict[str, Any]) -> None:
        """Nothing."""

    def save(self, tensors: dict[str, Any], numbers: dict[str, Any]) -> None:
        """Nothing."""

    def load(self) -> None:
        """There is never a checkpoint."""


def loop(model: str, size: int, test: bool) -> Loop:
    """An endless run; its size stays, whatever the test says."""
    task = ["task=images/generated_cnn", f"task.model={model}", "task.side=28"]
    rule = ["batch_size=norm_test", f"batch_size.cap={size}", "batch_size.allow_decrease=true"] if test else []
    words = [*task, "optimizer=adagrad", "optimizer.lr=0.001", "budget.steps=1000000000", *rule]
    return Loop(Job((config.request([*words, f"batch_size.size={size}"]).runs[0],)), Nowhere())


def main() -> None:
    """Print the ratios beside the bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    print(f"{'':24s}{'batch':>8s}{'plain step':>14s}{'with a test':>14s}{'bar':>8s}")
    for name, (model, sizes, bar) in CASES.items():
        for size in sizes:
            plain, tested = loop(model, size, test=False), loop(model, size, test=True)
            steps = max(2, _EXAMPLES // size)
            ratios, times = [], []
            for turn in range(rounds + 1):
                start = time.perf_counter()
                plain.advance(steps)
                middle = time.perf_counter()
                tested.advance(steps)
                if turn:
                    times.append((middle - start) / steps)
                    ratios.append((time.perf_counter() - middle) / (middle - start))
            found = statistics.median(ratios)
            over = "!" if found > bar else ""
            print(f"{name:24s}{size:>8d}{1e3 * statistics.median(times):>11.2f} ms{found:>14.2f}{bar:>8.2f}{over}")


if __name__ == "__main__":
    main()
