"""Lanes against plain loops: AdaGrad on a9a (dense, batch 256, float32), all in one warm process, interleaved.

`python -m benchmarks.lanes [--rounds 5] [--output file.json]`. The plain loop is what one would write for one learning
rate: `torch.optim.Adagrad` on a weight vector, autograd, batches drawn beforehand. Ratios are medians over the rounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import softplus

from data import DataError
from experiments import api, provenance

STEPS, BATCH, LANES = 2000, 256, 100
BARS = {
    "100 lanes, training clock": 40.0,
    "100 lanes, wall clock of api.run": 30.0,
    "1 lane AdaGrad / plain loop": 1.3,
    "1 lane AdaGrad-Norm / plain loop": 1.3,
}


def plain_loop(inputs: torch.Tensor, targets: torch.Tensor, batches: list[torch.Tensor]) -> float:
    """Seconds of one ordinary training loop."""
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.Adagrad([weight], lr=0.1)
    began = time.perf_counter()
    for rows in batches:
        optimizer.zero_grad()
        softplus(-targets[rows] * (inputs[rows] @ weight)).mean().backward()
        optimizer.step()
    return time.perf_counter() - began


def suite(optimizer: str, lanes: int, store: Path) -> tuple[float, float]:
    """Training seconds and wall seconds of `api.run` with a store that is empty."""
    rates = [0.01 * 1000 ** (k / max(lanes - 1, 1)) for k in range(lanes)]
    words = [f"task={_task}", f"optimizer={optimizer}", f"lanes.lr={rates}", f"batch_size.size={BATCH}"]
    began = time.perf_counter()
    done = api.run([*words, f"budget.steps={STEPS}", "record=ends", "dtype=float32", f"store={store}"])
    return done[0].seconds, time.perf_counter() - began


_task = "logistic/a9a"


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Every ratio: median, smallest and largest over the rounds (after one round of warming up)."""
    task = api.load_task(_task, ["dtype=float32"])
    signed = task.batch(None)["rows"]
    targets = torch.where(torch.rand(len(signed)) < 0.5, 1.0, -1.0)
    inputs = signed * targets[:, None]
    batches = list(torch.randint(len(signed), (STEPS, BATCH)))
    ratios: dict[str, list[float]] = {name: [] for name in BARS}
    for round_number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            plain = plain_loop(inputs, targets, batches)
            training, wall = suite("adagrad", LANES, Path(folder, "lanes"))
            plain = statistics.mean([plain, plain_loop(inputs, targets, batches)])
            one, _ = suite("adagrad", 1, Path(folder, "one"))
            norm, _ = suite("adagrad_norm", 1, Path(folder, "norm"))
        found = [LANES * plain / training, LANES * plain / wall, one / plain, norm / plain]
        if round_number:
            for name, value in zip(ratios, found, strict=True):
                ratios[name].append(value)
    return {k: {"median": statistics.median(v), "min": min(v), "max": max(v)} for k, v in ratios.items()}


def main() -> int:
    """Print the ratios beside the bars; exit code 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the numbers with their provenance here")
    options = parser.parse_args()
    try:
        found = measure(options.rounds)
    except DataError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    missed = False
    for name, bar in BARS.items():
        at_most = name.startswith("1 lane")
        value = found[name]["median"]
        ok = value <= bar if at_most else value >= bar
        missed |= not ok
        spread = f"({found[name]['min']:.2f} to {found[name]['max']:.2f})"
        wanted = f"bar: {'at most' if at_most else 'at least'} {bar:g}"
        print(f"{name:34s} {value:7.2f} {spread:20s} {wanted}  {'ok' if ok else 'MISSED'}")
    if options.output:
        options.output.write_text(json.dumps({"ratios": found, "provenance": provenance.describe()}, indent=1) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
