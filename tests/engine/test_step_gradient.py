"""The gradient of a step and its statistics: in one pass, in micro-batches, and estimated between them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments import api, config, microbatches
from experiments.batch_statistics import NAMES
from experiments.distributed import ALONE
from experiments.lanes import Lanes
from experiments.measure.gradients import gradient_statistics
from experiments.step_gradient import StepGradient
from experiments.tasks.example_sums import Wants
from experiments.tasks.task import Task
from optim.batch_sizes.norm_test import NormTest
from optim.settings import SettingError

PLAIN = ("gradient_norm_squared", "variance_trace", "inner_product_variance", "orthogonal_variance")
TASKS = {
    "logistic/breast_cancer": [],
    "logistic/digits": ["task.l2=0.03"],
    "logistic/power_law": ["task.storage=sparse", "task.examples=300", "task.dimension=200"],
    "multiclass/digits": ["task.l2=0.01"],
    "mlp/breast_cancer": ["task.hidden=[5,4]"],
    "least_squares/finite": [],
    "images/digits_linear": [],
    "images/digits_cnn": [],
}


def prepared(name: str, dtype: str = "float64") -> Task:
    return config.request([f"task={name}", *TASKS.get(name, []), f"dtype={dtype}"]).runs[0].experiment.task


def at_a_point(task: Task) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return {k: v + 0.1 * torch.randn_like(v) for k, v in task.init(torch.Generator().manual_seed(1)).items()}


def step_gradient(task: Task, params: dict[str, Tensor], memory: int = 1 << 30, **rule: object) -> StepGradient:
    return StepGradient(task, Lanes([params], 1), NormTest(**rule), 1, memory, ALONE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("at_once", [1000, 3, 1])
@pytest.mark.parametrize("estimate", ["exact", "chunked"])
def test_statistics_are_those_of_the_examples_gradients(name: str, at_once: int, estimate: str) -> None:
    task = prepared(name)
    params = at_a_point(task)
    draws = torch.tensor([4, 7, 9, 4, 1, 200, 31, 5, 66, 12, 13])
    wanted = gradient_statistics(task, params, task.batch(draws), (*PLAIN, "variance_by_coordinate"))
    step = step_gradient(task, params, estimate=estimate)
    step.at_once = at_once
    lane = {k: v[None] for k, v in params.items()}
    mean, grads, found = step.measured(lane, draws, len(draws), NAMES)
    for statistic in PLAIN:
        assert found[statistic] == pytest.approx(float(wanted[statistic]), rel=1e-10)
    plain_mean, plain = step.plain(lane, draws, len(draws))
    assert torch.allclose(mean, plain_mean, rtol=1e-12)
    for parameter in grads:
        assert torch.allclose(grads[parameter], plain[parameter], rtol=1e-12, atol=1e-15)
    variance = torch.cat([v.reshape(-1) for v in wanted["variance_by_coordinate"].values()])  # type: ignore[union-attr]
    squares = torch.cat([g.reshape(-1) for g in plain.values()]).square()
    seen = (variance > 1e-20) & (squares > 1e-20)  # elsewhere both are rounding
    ratios = (variance / squares)[seen].sort().values
    assert found["largest_coordinate_ratio"] >= float(ratios[-1]) * (1 - 1e-8)


@pytest.mark.parametrize("name", [name for name in TASKS if not name.startswith("images")])
def test_formulas_of_tasks_equal_gradients_of_examples(name: str) -> None:
    task = prepared(name)
    params, batch = at_a_point(task), task.batch(torch.tensor([3, 1, 8, 8, 20]))
    along = {k: torch.randn_like(v) for k, v in params.items()}
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    losses = task.losses(leaves, batch)
    each = [torch.autograd.grad(loss, list(leaves.values()), retain_graph=True) for loss in losses]
    gradients = torch.stack([torch.cat([g.reshape(-1) for g in one]) for one in each])
    flat = torch.cat([a.reshape(-1) for a in along.values()])
    directions = ((None, gradients.mean(dim=0)), (along, flat))
    common = task.common_gradient(params)
    if common:
        gradients = gradients - torch.cat([common[name].reshape(-1) for name in params])
    for direction, vector in directions:
        found = task.example_sums(params, batch, Wants(True, True, True), direction)
        if found is None:
            pytest.skip("no formulas")
        assert torch.allclose(found.losses, losses, rtol=1e-12)
        assert torch.allclose(found.squared_norms, gradients.square().sum(dim=1), rtol=1e-11)
        assert torch.allclose(found.products, gradients @ vector, rtol=1e-10, atol=1e-14)
        squares = torch.cat([found.squares[name].reshape(-1) for name in params])
        assert torch.allclose(squares, gradients.square().sum(dim=0), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("name", ["images/digits_cnn", "multiclass/digits", "logistic/breast_cancer"])
def test_micro_batches_give_the_whole_batchs_gradient(name: str, dtype: str, tolerance: float) -> None:
    task = prepared(name, dtype)
    params = {k: v.to(getattr(torch, dtype)) for k, v in at_a_point(task).items()}
    draws, lane = torch.arange(301), {k: v[None] for k, v in params.items()}
    whole, parts = step_gradient(task, params), step_gradient(task, params)
    parts.at_once = 17
    mean, grads = whole.plain(lane, draws, 301)
    split_mean, split = parts.plain(lane, draws, 301)
    assert float(mean) == pytest.approx(float(split_mean), rel=tolerance)
    norm = torch.cat([g.reshape(-1) for g in grads.values()]).norm()
    apart = torch.cat([(grads[k] - split[k]).reshape(-1) for k in grads]).norm()
    assert float(apart / norm) < tolerance


def test_lanes_and_groups_of_seeds_in_micro_batches(tmp_path: Path) -> None:
    words = ["task=multiclass/digits", "optimizer=sgd", "lanes.lr=[0.1,0.3]", "lanes.seed=[0,1,2]", "dtype=float64"]
    words += ["batch_size.size=800", "budget.steps=5", "record=ends"]
    whole = api.run([*words, f"store={tmp_path / 'whole'}"], quiet=True)
    parts = api.run([*words, f"store={tmp_path / 'parts'}", "memory=1"], quiet=True)
    for a, b in zip(whole, parts, strict=True):
        assert a.id == b.id  # memory is no part of a run's identity
        assert a.metrics["loss"] == pytest.approx(b.metrics["loss"], rel=1e-12)
        assert a.metrics != b.metrics or a.metrics["loss"] == b.metrics["loss"]


def test_the_memory_that_a_step_takes_is_about_what_was_allowed() -> None:
    from torch.profiler import ProfilerActivity, profile

    task = config.request(["task=images/generated_cnn"]).runs[0].experiment.task
    params, memory = task.init(), 16 * microbatches.MEBIBYTE
    step = step_gradient(task, params, memory)
    assert 1 < step.at_once < 3000
    lane, draws = {k: v[None] for k, v in params.items()}, torch.arange(3000)
    step.plain(lane, draws, 3000)
    for work in (
        lambda: step.plain(lane, draws, 3000),
        lambda: step.measured(lane, draws, 3000, PLAIN[:2]),
    ):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            work()
        held = peak = 0
        for event in recorded.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                peak = max(peak, held)
        assert peak < 1.5 * memory


def test_estimates_between_micro_batches() -> None:
    task = prepared("images/digits_linear")
    params, draws = at_a_point(task), torch.arange(40)
    lane = {k: v[None] for k, v in params.items()}
    step = step_gradient(task, params, estimate="between micro-batches", parts=4)
    _, _, found = step.measured(lane, draws, 40, (*PLAIN, "largest_coordinate_ratio"))
    means = []
    for k in range(4):
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        loss = task.losses(leaves, task.batch(draws[10 * k : 10 * k + 10])).mean()
        means.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))]))
    each = torch.stack(means)
    mean = each.mean(dim=0)
    assert found["variance_trace"] == pytest.approx(10 * float(each.var(dim=0).sum()), rel=1e-10)
    assert found["inner_product_variance"] == pytest.approx(10 * float((each @ mean).var()), rel=1e-8)
    largest = float((10 * each.var(dim=0) / mean.square())[mean.abs() > 1e-12].max())
    assert found["largest_coordinate_ratio"] == pytest.approx(largest, rel=1e-6)


def test_one_example_has_no_variance() -> None:
    task = prepared("logistic/breast_cancer")
    params = at_a_point(task)
    with pytest.raises(SettingError, match="at least 2"):
        step_gradient(task, params).measured({k: v[None] for k, v in params.items()}, torch.tensor([1]), 1, PLAIN)


def test_a_budget_may_end_with_a_single_example(tmp_path: Path) -> None:
    words = ["task=logistic/breast_cancer", "batch_size=norm_test", "batch_size.size=8", "batch_size.cap=8"]
    api.run([*words, "budget.examples=17", f"store={tmp_path}"], quiet=True)
    table = api.load_runs(tmp_path)
    assert (table.step.max(), table.examples.max()) == (3, 17)


def test_a_task_without_gradients_of_examples_is_refused_before_any_work() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.last = nn.BatchNorm1d(64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(x.flatten(1)))

    task = prepared("images/digits_linear")
    task.network = Mixing().double()
    params = {k: v.detach().clone() for k, v in task.network.named_parameters()}
    with pytest.raises(SettingError, match="GroupNorm"):
        step_gradient(task, params).measured({k: v[None] for k, v in params.items()}, torch.arange(5), 5, PLAIN)


def test_an_l2_term_costs_no_digits() -> None:
    task = config.request(["task=logistic/breast_cancer", "task.l2=1", "dtype=float64"]).runs[0].experiment.task
    params = {"weight": 1000.0 * torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))}
    draws = torch.arange(40)
    _, _, found = step_gradient(task, params).measured({"weight": params["weight"][None]}, draws, 40, NAMES)
    each = torch.stack([
        torch.autograd.grad(loss, leaf)[0] - leaf.detach()
        for i in range(40)
        for leaf in [params["weight"].clone().requires_grad_()]
        for loss in [task.losses({"weight": leaf}, task.batch(draws[i : i + 1]))[0]]
    ])  # fmt: skip
    assert found["variance_trace"] == pytest.approx(float(each.var(dim=0).sum()), rel=1e-10)


@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_coordinates_whose_gradient_is_rounding_ask_for_nothing(at_once: int) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.last = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))

    torch.manual_seed(0)
    inputs = torch.randn(1, 5, 8, dtype=torch.float64) + 0.01 * torch.randn(32, 5, 8, dtype=torch.float64)
    targets = torch.zeros(32, dtype=torch.int64)
    model = Attending().double()  # the biases of its keys do not move the loss
    task = api.task_from_module(model, nn.CrossEntropyLoss(reduction="none"), inputs, targets)
    params = task.init()
    step = step_gradient(task, params)
    step.at_once = at_once
    lane = {k: v[None] for k, v in params.items()}
    _, _, found = step.measured(lane, torch.arange(32), 32, ("largest_coordinate_ratio",))
    wanted = gradient_statistics(task, params, task.batch(torch.arange(32)), ["variance_by_coordinate"])
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    loss = task.losses(leaves, task.batch(torch.arange(32))).mean()
    grads = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    ratios = []
    for name, g in grads.items():
        keep = torch.ones_like(g, dtype=torch.bool)
        if name == "attention.in_proj_bias":
            keep[8:16] = False
        ratios.append((wanted["variance_by_coordinate"][name] / g.square())[keep & (g.abs() > 1e-12)])  # type: ignore[index]
    assert found["largest_coordinate_ratio"] == pytest.approx(float(torch.cat(ratios).max()), rel=1e-6)


@pytest.mark.parametrize("estimate", ["chunked", "between micro-batches"])
def test_the_estimate_is_a_word_of_the_command_line(tmp_path: Path, estimate: str) -> None:
    words = ["task=logistic/breast_cancer", "batch_size=norm_test", f"batch_size.estimate='{estimate}'"]
    api.run([*words, "batch_size.size=8", "budget.steps=3", f"store={tmp_path}"], quiet=True)
    with pytest.raises(SettingError, match="chunked"):
        config.request([*words[:2], "batch_size.estimate=chunky"])


def test_how_many_parts_is_no_part_of_an_exact_runs_identity() -> None:
    def identity(*more: str) -> str:
        return config.request(["task=logistic/breast_cancer", "batch_size=norm_test", *more]).runs[0].id

    assert identity() == identity("batch_size.parts=4")
    between = "batch_size.estimate='between micro-batches'"
    assert len({identity(), identity(between), identity(between, "batch_size.parts=4")}) == 3


def test_a_formula_fits_in_memory_too() -> None:
    task = config.request(["task=mlp/digits", "task.hidden=[4096]"]).runs[0].experiment.task
    lanes = Lanes([task.init()], 1)
    few = microbatches.at_once(task, lanes.params, "analytic", 1, 16 * microbatches.MEBIBYTE)
    assert 16 < few < 16 * microbatches.MEBIBYTE // (2 * 4 * 4096)
    assert microbatches.at_once(task, Lanes([task.init()], 8).params, "analytic", 1, 16 << 20) < few / 4


class Unusual(Task):
    """A task whose losses autograd knows nothing about."""

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        self.tensors = {"x": torch.ones(20, device=device, dtype=dtype)}

    def init(self, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        return {"w": torch.ones(1)}

    def losses(self, params: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        return (params["w"] * batch["x"]).detach()


def test_a_task_that_autograd_cannot_see_through_is_refused_in_one_sentence() -> None:
    with pytest.raises(SettingError, match="cannot be had for this task"):
        config.request(["batch_size=norm_test"], task=Unusual())
