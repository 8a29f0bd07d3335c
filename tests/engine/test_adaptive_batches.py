"""Batch sizes that adapt, in the engine: the statistics are those of the step's own batch, before the step."""

import json
import math
from pathlib import Path

import pytest
import torch

from experiments import api, config
from experiments.order import Order

RULES = {
    "norm_test": ["batch_size.eta=0.5"],
    "inner_product": ["batch_size.theta=0.5"],
    "coordinate_norm_test": ["batch_size.eta=2"],
}


def words(store: Path, rule: str, *more: str) -> list[str]:
    size = [f"batch_size={rule}", *RULES[rule], "batch_size.size=8", "sampling=reshuffled", "budget.steps=12"]
    method = ["optimizer=sgd", "optimizer.lr=0.05"]
    return ["task=logistic/breast_cancer", *method, *size, "dtype=float64", "record=every:1", f"store={store}", *more]


@pytest.mark.parametrize("rule", RULES)
def test_sizes_are_those_of_a_plain_loop(tmp_path: Path, rule: str) -> None:
    (run,) = api.run(words(tmp_path, rule), quiet=True)
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    sizes = [
        int(row["metrics"]["batch_size"][0]) for row in rows if "metrics" in row and "batch_size" in row["metrics"]
    ]

    task = config.request(words(tmp_path, rule)).runs[0].experiment.task
    order = Order(task.size, "reshuffled", [0], torch.device("cpu"))
    weight = torch.zeros(30, dtype=torch.float64, requires_grad=True)
    size, seen, wanted = 8, 0, []
    for _ in range(12):
        wanted.append(size)
        batch = task.batch(order.draws(seen, size))
        each = torch.stack([torch.autograd.grad(loss, weight, retain_graph=True)[0]
                            for loss in task.losses({"weight": weight}, batch)])  # fmt: skip
        mean, variance = each.mean(dim=0), each.var(dim=0)
        squared = float(mean.dot(mean))
        if rule == "norm_test":
            asked = float(variance.sum()) / (0.25 * squared)
        elif rule == "inner_product":
            asked = float((each @ mean).var()) / (0.25 * squared**2)
        else:
            asked = float((variance / (4 * mean**2)).max())
        with torch.no_grad():
            weight -= 0.05 * mean
        seen += size
        size = min(569, max(size, math.ceil(asked)))
    assert sizes == wanted
    assert len(set(wanted)) >= 2


def test_a_stop_in_the_middle_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.loop import Loop

    whole = api.run(words(tmp_path / "whole", "norm_test"), quiet=True)
    step = Loop._step

    def stopped(loop: Loop) -> None:
        if loop.state.step == 5:
            raise KeyboardInterrupt
        step(loop)

    monkeypatch.setattr(Loop, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        api.run([*words(tmp_path / "cut", "norm_test"), "checkpoint_seconds=0"], quiet=True)
    monkeypatch.setattr(Loop, "_step", step)
    resumed = api.run(words(tmp_path / "cut", "norm_test"), quiet=True)
    texts = [(run.folder / "metrics.jsonl").read_text() for (run,) in (whole, resumed)]
    kept = [[{**json.loads(line), "seconds": 0} for line in text.splitlines()] for text in texts]
    assert kept[0] == kept[1]
