"""Gradient statistics against a plain forward and backward pass, interleaved in one process.

`python -m benchmarks.statistics [--rounds 15] [--output file.json]`. Ratios are medians over the rounds of one
measurement to the plain pass beside it, in seconds and in seconds of processors (which other processes disturb less;
idle threads sleep). Peak memory is what torch allocates beyond the start, from its profiler's record of allocations.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.hessian_products import Attention, Perceptron
from experiments import provenance
from experiments.measure.statistics import Collector

Params = dict[str, Tensor]
NORM_TEST = ("gradient_norm_squared", "variance_trace")
INNER_PRODUCT = ("gradient_norm_squared", "inner_product_variance")
BARS = {"MLP": 1.15, "token MLP": 1.15, "MNIST CNN": 1.5, "tiny GPT": 1.5}  # of the norm test, in plain passes
INNER_BAR, MEMORY_BAR, IN_MEMORY = 2.2, 1.15, ("MLP", "token MLP")
WORDS, LENGTH = 5000, 64
_SLOW_ROUNDS = 3  # of gradients of single examples by vmap(grad)


class GPT(nn.Module):
    """Two blocks; the head is tied to the embedding, or not."""

    def __init__(self, tied: bool, width: int = 64) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.Sequential(*(part(width) for _ in range(2) for part in (Attention, Perceptron)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, WORDS, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(self.words(tokens) + places)))


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    layers = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return layers, torch.randn(512, 784), torch.randint(10, (512,))


def token_mlp() -> tuple[nn.Module, Tensor, Tensor]:
    layers = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
    return layers, torch.randn(32, LENGTH, 512), torch.randint(512, (32, LENGTH))


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    layers = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 10),
    )  # fmt: skip
    return layers, torch.randn(256, 1, 28, 28), torch.randint(10, (256,))


def gpt(tied: bool) -> tuple[nn.Module, Tensor, Tensor]:
    tokens = torch.randint(WORDS, (32, LENGTH + 1))
    return GPT(tied), tokens[:, :-1], tokens[:, 1:]


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor, Tensor]]] = {
    "MLP": mlp,
    "token MLP": token_mlp,
    "MNIST CNN": cnn,
    "tiny GPT": lambda: gpt(False),
    "tiny GPT, tied": lambda: gpt(True),
}


def peak(work: Callable[[], object]) -> int:
    """Bytes that torch holds at most during some work, beyond what it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    held = highest = 0
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def measure(name: str, rounds: int) -> dict[str, float]:
    """Milliseconds of a plain pass, and ratios to it."""
    torch.manual_seed(0)
    model, inputs, targets = MODELS[name]()
    params = {k: p.detach().clone() for k, p in model.named_parameters()}

    def losses(given: Params, batch: Params) -> Tensor:
        outputs = torch.func.functional_call(model, given, (batch["inputs"],))
        if outputs.dim() == 2:
            return F.cross_entropy(outputs, batch["targets"], reduction="none")
        each = F.cross_entropy(outputs.flatten(0, 1), batch["targets"].flatten(), reduction="none")
        return each.view(len(outputs), -1).mean(dim=1)

    batch, collector = {"inputs": inputs, "targets": targets}, Collector(model, losses)

    def plain() -> None:
        leaves = {k: p.detach().requires_grad_() for k, p in params.items()}
        torch.autograd.grad(losses(leaves, batch).mean(), list(leaves.values()))

    works = {
        "plain": plain,
        "norm test": lambda: collector.collect(params, batch, NORM_TEST),
        "inner product": lambda: collector.collect(params, batch, INNER_PRODUCT),
    }
    clocks = {"": time.perf_counter, ", processors": time.process_time}
    times: dict[str, list[float]] = {key + clock: [] for key in works for clock in clocks}
    for turn in range(rounds + 2):
        for key, work in works.items():
            began = [clock() for clock in clocks.values()]
            work()
            if turn >= 2:
                for (name_of_clock, clock), start in zip(clocks.items(), began, strict=True):
                    times[key + name_of_clock].append(clock() - start)
    found = {"plain_ms": 1e3 * statistics.median(times["plain"])}
    for key in ("norm test", "inner product"):
        for clock in clocks:
            pairs = zip(times[key + clock], times["plain" + clock], strict=True)
            found[key + clock] = statistics.median(one / unit for one, unit in pairs)
    chunked = Collector(model, losses, method="chunked")
    slow, unit = [], []
    for _ in range(_SLOW_ROUNDS):
        start = time.perf_counter()
        plain()
        middle = time.perf_counter()
        chunked.collect(params, batch, NORM_TEST)
        slow.append(time.perf_counter() - middle)
        unit.append(middle - start)
    found["vmap(grad)"] = statistics.median(one / other for one, other in zip(slow, unit, strict=True))
    before = peak(plain)
    for key in ("norm test", "inner product"):
        found[f"{key}, memory"] = peak(works[key]) / before
    return found


def main() -> None:
    """Print the ratios beside the bars, and which are missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=list(MODELS), help="one model alone")
    parser.add_argument("--output", type=Path, help="write the numbers with their provenance here")
    options = parser.parse_args()
    columns = (
        "norm test",
        "bar",
        "processors",
        "inner product",
        "bar",
        "processors",
        "memory",
        "bar",
        "memory (inner)",
        "vmap(grad)",
    )
    print(f"{'in plain passes':16s}{'plain':>10s}" + "".join(f"{column:>15s}" for column in columns))
    costs, missed = {}, False
    for name in [options.only] if options.only else MODELS:
        row = costs[name] = measure(name, options.rounds)
        bar, memory = BARS.get(name), MEMORY_BAR if name in IN_MEMORY else None
        cells = [
            (row["norm test"], bar), (row["norm test, processors"], None), (row["inner product"], INNER_BAR),
            (row["inner product, processors"], None), (row["norm test, memory"], memory),
            (row["inner product, memory"], None), (row["vmap(grad)"], None),
        ]  # fmt: skip
        text = ""
        for place, (value, limit) in enumerate(cells):
            over = limit is not None and value > limit
            missed |= over
            text += f"{value:>14.2f}{'!' if over else ' '}"
            if place in (0, 2, 4):
                text += f"{limit:>15.2f}" if limit is not None else f"{'':15s}"
        print(f"{name:16s}{row['plain_ms']:>7.1f} ms{text}", flush=True)
    if options.output:
        options.output.write_text(json.dumps({"costs": costs, "provenance": provenance.describe()}, indent=1) + "\n")
    if missed:
        print("! above the bar")


if __name__ == "__main__":
    main()
