"""The compiled scalar recursion: how long ten million steps take, and against a loop of torch.optim.Adam.

`python -m benchmarks.scalar_adam [--rounds 3] [--steps 10000000]`. Nine methods and 32 seeds on one core, draws
included; compiled beforehand. The plain loop is a scalar tensor in float64 with the slope as its gradient. Medians.
"""

import argparse
import statistics
import sys
import time

import numpy as np
import torch

from experiments.theory.counterexamples import STOCHASTIC, Stochastic
from experiments.theory.scalar_adam import Method, Problem, simulate
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

STEPS, SEEDS, PLAIN_STEPS = 10_000_000, 32, 5000
MOST_SECONDS, LEAST_RATIO = 180.0, 50.0  # bars
ROOT, NINE, THETA = Power(s=0.5), Constant(at=0.9), Constant(at=0.99)
METHODS = [
    *(Method("generic", ROOT, NINE, TowardsOne(r=r, c=0.01), lr=0.5) for r in (0.0, 0.25, 0.5, 0.75, 1.0)),
    Method("largest", ROOT, NINE, THETA, lr=0.5),
    Method("generic", ROOT, Constant(at=0.0), TowardsOne(r=1.0), lr=0.5),
    Method("adopt", ROOT, NINE, THETA, lr=0.5),
    Method("adopt, clipped", ROOT, NINE, THETA, lr=0.5),
]


def compiled(steps: int) -> float:
    """Seconds of all methods and seeds."""
    began = time.perf_counter()
    simulate(METHODS, Problem(), Stochastic(STOCHASTIC, range(SEEDS)), steps, [steps])
    return time.perf_counter() - began


def plain() -> float:
    """Seconds of PLAIN_STEPS steps of an ordinary loop, for one method and seed."""
    slopes = torch.from_numpy(np.where(np.random.default_rng(0).random(PLAIN_STEPS) < 0.01, 1010.0, -10.0))
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.5, betas=(0.9, 0.99))
    began = time.perf_counter()
    for slope in slopes:
        x.grad = slope
        optimizer.step()
        with torch.no_grad():
            x.clamp_(-1.0, 1.0)
    return time.perf_counter() - began


def main() -> int:
    """Print the time and the ratio beside the bars; exit code 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    compiled(10)
    print(f"compiled, or read from the cache, in {time.perf_counter() - began:.1f} s")
    seconds, ratios = [], []
    for _ in range(options.rounds):
        seconds.append(compiled(options.steps) * STEPS / options.steps)
        ratios.append(plain() / PLAIN_STEPS / (seconds[-1] / (STEPS * SEEDS * len(METHODS))))
    taken, ratio = statistics.median(seconds), statistics.median(ratios)
    ok = taken <= MOST_SECONDS, ratio >= LEAST_RATIO
    words = ["ok" if each else "MISSED" for each in ok]
    lanes = f"{len(METHODS)} methods x {SEEDS} seeds x {STEPS:.0e} steps"
    print(f"{lanes:46s}{taken:9.1f} s  bar: at most {MOST_SECONDS:g} s  {words[0]}")
    print(f"{'step of torch.optim.Adam / step of a lane':46s}{ratio:9.0f}    bar: at least {LEAST_RATIO:g}  {words[1]}")
    return int(not all(ok))


if __name__ == "__main__":
    sys.exit(main())
