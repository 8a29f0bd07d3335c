"""Hessian products against plain gradients: m products at one point with all set-up, in units of one gradient.

`python -m benchmarks.hessian_products [--rounds 5] [--dtype float32] [--output file.json]`. The unit is an ordinary
backward pass of the mean loss, timed between the products of the same round; numbers are medians over the rounds.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import api, measure, provenance
from experiments.tasks.task import Task

COUNTS = (1, 5, 20, 50, 200)
WORDS, LENGTH, SEQUENCES, IMAGES = 256, 32, 16, 64


def bar(m: int) -> float:
    """The most gradients that m products may cost."""
    return min(2.5 * m + 4, 1.6 * m) if m >= 200 else 2.5 * m + 4


class Attention(nn.Module):
    """Causal attention with four heads, and the layer norm before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(y.transpose(1, 2).reshape(b, t, d))


class Perceptron(nn.Module):
    """The other half of a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class GPT(nn.Module):
    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.Sequential(*(part(width) for _ in range(layers) for part in (Attention, Perceptron)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, WORDS, bias=False))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.words(tokens) + self.places.weight))


class GPT2(nn.Module):
    """The model of transformers with eager attention."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=WORDS, n_positions=LENGTH, n_embd=width, n_layer=layers, n_head=4, resid_pdrop=0, embd_pdrop=0,
            attn_pdrop=0, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
        )  # fmt: skip
        self.model = GPT2LMHeadModel(config)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 49, 10),
    )  # fmt: skip


def images(model: nn.Module) -> Task:
    inputs, targets = torch.randn(IMAGES, 1, 28, 28), torch.randint(10, (IMAGES,))
    return api.task_from_module(model, nn.CrossEntropyLoss(reduction="none"), inputs, targets)


def text(model: nn.Module) -> Task:
    tokens = torch.randint(WORDS, (SEQUENCES, LENGTH + 1))

    def loss(logits: Tensor, following: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), following, reduction="none").mean(dim=1)

    return api.task_from_module(model, loss, tokens[:, :-1], tokens[:, 1:])


MODELS = {
    "CNN 16-32": lambda: images(cnn()),
    "GPT-2 eager 2 x 64": lambda: text(GPT2(2, 64)),
    "GPT-2 eager 4 x 128": lambda: text(GPT2(4, 128)),
    "GPT SDPA 2 x 64": lambda: text(GPT(2, 64)),
    "GPT SDPA 4 x 128": lambda: text(GPT(4, 128)),
}


def one_round(task: Task, params: dict[str, Tensor], batch: dict[str, Tensor]) -> tuple[float, list[float]]:
    """Seconds of one gradient, and of the first m products for every m."""
    vector = {k: torch.randn_like(p) for k, p in params.items()}

    def gradient() -> float:
        began = time.perf_counter()
        leaves = {k: p.detach().requires_grad_() for k, p in params.items()}
        torch.autograd.grad(task.losses(leaves, batch).mean(), list(leaves.values()))
        return time.perf_counter() - began

    units, spent, costs = [gradient() for _ in range(3)], 0.0, []
    began = time.perf_counter()
    product = measure.hessian_product(task, params, batch)
    spent += time.perf_counter() - began
    for m in range(1, COUNTS[-1] + 1):
        began = time.perf_counter()
        vector = product(vector)
        spent += time.perf_counter() - began
        size = torch.stack([v.norm() for v in vector.values()]).norm()
        vector = {k: v / size for k, v in vector.items()}
        if m % 5 == 0:
            units.append(gradient())
        if m in COUNTS:
            costs.append(spent)
    return statistics.median(units), costs


def run(rounds: int, dtype: torch.dtype) -> dict[str, dict[str, list[float]]]:
    """By model: seconds of a gradient, and the costs in gradients for every m (a first round warms up)."""
    found = {}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        task = make()
        task.prepare(torch.device("cpu"), dtype)
        params, batch = task.init(), task.batch(None)
        timed = [one_round(task, params, batch) for _ in range(rounds + 1)][1:]
        costs = [statistics.median(c[i] / unit for unit, c in timed) for i in range(len(COUNTS))]
        found[name] = {"gradient_ms": [1e3 * statistics.median(unit for unit, _ in timed)], "gradients": costs}
    return found


def main() -> None:
    """Print the costs beside the bars, and which are missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--output", type=Path, help="write the numbers with their provenance here")
    options = parser.parse_args()
    found = run(options.rounds, getattr(torch, options.dtype))
    print(f"{'gradients for m products':24s}{'gradient':>10s}" + "".join(f"{f'm = {m}':>16s}" for m in COUNTS))
    print(f"{'at most':34s}" + "".join(f"{bar(m):>16.1f}" for m in COUNTS))
    missed = False
    for name, row in found.items():
        cells = []
        for m, cost in zip(COUNTS, row["gradients"], strict=True):
            missed |= cost > bar(m)
            cells.append(f"{cost:.1f} ({cost / m:.2f} m){' !' if cost > bar(m) else '  '}")
        print(f"{name:24s}{row['gradient_ms'][0]:>7.1f} ms" + "".join(f"{cell:>16s}" for cell in cells))
    if options.output:
        options.output.write_text(json.dumps({"costs": found, "provenance": provenance.describe()}, indent=1) + "\n")
    if missed:
        print("! above the bar")


if __name__ == "__main__":
    main()
