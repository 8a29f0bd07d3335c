"""What is computed, memory, chance, single precision, tasks, and bad input."""

import itertools

import kinds
import pytest
import torch
from torch import nn

from experiments import api
from experiments.measure.statistics import NAMES, Collector
from experiments.measure.statistics.contribution import Contribution
from optim.settings import SettingError


def small(model=None, examples=6):
    torch.manual_seed(0)
    return kinds.vectors(model or nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), 4, examples=examples)


@pytest.mark.parametrize(
    ("names", "used"),
    [
        ([], set()),
        (["gradient_norm_squared"], set()),
        (["squared_norm_sum"], {"squared_norms"}),
        (["gradient_norm_squared", "variance_trace"], {"squared_norms"}),
        (["inner_product_variance"], {"inner_products"}),
        (["orthogonal_variance"], {"squared_norms", "inner_products"}),
        (["variance_by_coordinate", "variance_trace"], {"squares"}),
    ],
)
def test_nothing_else_is_computed(monkeypatch, names, used):
    model, params, losses, batch = small()
    called, forward = set(), []

    def noting(method, original):
        def noted(self, *args):
            called.add(method)
            return original(self, *args)

        return noted

    for cls in [Contribution, *Contribution.__subclasses__()]:
        for method in {"squared_norms", "inner_products", "squares"} & set(vars(cls)):
            monkeypatch.setattr(cls, method, noting(method, getattr(cls, method)))
    collector = Collector(model, losses)
    collector.collect(params, batch, names)
    model.register_forward_hook(lambda *_: forward.append(1))
    found = collector.collect(params, batch, names)
    assert (called, set(found.statistics), len(forward)) == (used, set(names), 1)


@pytest.mark.parametrize(("memory", "passes"), [(1 << 28, 1), (100, 2)])
def test_a_second_pass_where_layers_do_not_fit_in_memory(memory, passes):
    model, params, losses, batch = small()
    forward, collector = [], Collector(model, losses, memory=memory)
    collector.collect(params, batch, ["inner_product_variance"])
    model.register_forward_hook(lambda *_: forward.append(1))
    collector.collect(params, batch, ["inner_product_variance"])
    assert len(forward) == passes


def test_hooks_are_gone_and_the_model_is_as_before():
    model, params, losses, batch = small()
    before = {k: p.clone() for k, p in model.state_dict().items()}
    Collector(model, losses).collect(params, batch, NAMES)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(p, before[k]) and model.get_parameter(k).grad is None for k, p in model.state_dict().items())


def test_single_precision_is_that_of_double():
    model, params, losses, batch = small(nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 3)), examples=100)
    expected = Collector(model, losses).collect(params, batch, NAMES).statistics
    model.float()
    single = [{k: v.float() for k, v in given.items()} for given in (params, batch)]
    found = Collector(model, losses).collect(*single, NAMES).statistics
    for name in set(NAMES) - {"variance_by_coordinate"}:
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=0)
    for name, variance in found["variance_by_coordinate"].items():
        torch.testing.assert_close(variance.double(), expected["variance_by_coordinate"][name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("memory", [1 << 28, 1])
def test_dropout_draws_are_those_of_the_step(memory):
    """The pass with statistics draws what a plain one draws, also the first time, and when it has to be made again."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3)).train()
    _, params, losses, batch = small(model)
    collector = Collector(model, losses, memory=memory)
    for seed in (1, 2):
        torch.manual_seed(seed)
        leaves = {k: p.detach().requires_grad_() for k, p in params.items()}
        expected = losses(leaves, batch)
        rows = [torch.autograd.grad(loss, list(leaves.values()), retain_graph=True) for loss in expected]
        flat = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        after = torch.rand(3)
        torch.manual_seed(seed)
        found = collector.collect(params, batch, ["variance_trace", "inner_product_variance"])
        assert torch.equal(torch.rand(3), after)
        assert torch.equal(found.losses, expected)
        torch.testing.assert_close(found.statistics["variance_trace"], flat.var(dim=0).sum(), rtol=1e-10, atol=0)
        along = (flat @ flat.mean(dim=0)).var()
        torch.testing.assert_close(found.statistics["inner_product_variance"], along, rtol=1e-10, atol=0)


def test_dropout_is_refused_where_single_examples_are_needed():
    model = nn.Sequential(kinds.Scaled(4, 5), nn.Dropout(0.5), nn.Linear(5, 3)).train()
    _, params, losses, batch = small(model)
    with pytest.raises(SettingError, match=r"draws at random.*model\.eval\(\)"):
        Collector(model, losses).collect(params, batch, ["variance_trace"])


def test_losses_that_mix_examples_are_refused_where_it_shows():
    model, params, losses, batch = small(nn.Sequential(kinds.Scaled(4, 5), nn.Tanh()))

    def mixed(given, part):
        return losses(given, part) * losses(given, part).mean()

    with pytest.raises(SettingError, match="a loss depends on others"):
        Collector(model, mixed).collect(params, batch, ["variance_trace"])


def test_an_embedding_scaled_by_the_frequencies_of_a_batch_is_refused():
    torch.manual_seed(0)
    model = kinds.MeanOf(nn.Embedding(3, 2, scale_grad_by_freq=True), nn.Tanh())
    model, params, losses, batch = kinds.tokens(model, 3, 7)
    with pytest.raises(SettingError, match="a loss depends on others"):
        Collector(model, losses).collect(params, batch, ["variance_trace"])


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(5), nn.BatchNorm1d(5, track_running_stats=False).eval()])
def test_batch_norm_is_refused_but_between_micro_batches(norm):
    model = nn.Sequential(nn.Linear(4, 5), norm, nn.Linear(5, 3))
    _, params, losses, batch = small(model)
    with pytest.raises(SettingError, match=r"1 \(BatchNorm1d\) mixes .*model\.eval\(\).*GroupNorm.*micro-batches"):
        Collector(model, losses).collect(params, batch, ["variance_trace"])
    between = Collector(model, losses, method="between micro-batches", parts=3)
    assert between.collect(params, batch, ["variance_trace"]).statistics["variance_trace"] > 0


@pytest.mark.parametrize(
    ("names", "examples", "message"),
    [
        (["variance"], 6, "no statistic of the gradient called 'variance'"),
        (["variance_trace"], 1, "at least 2 examples, and this batch has 1"),
    ],
)
def test_bad_requests(names, examples, message):
    model, params, losses, batch = small(examples=examples)
    with pytest.raises(SettingError, match=message):
        Collector(model, losses).collect(params, batch, names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "quick"}, "exact, chunked or between micro-batches, not 'quick'"),
        ({"memory": 0}, "at least 1 byte"),
        ({"method": "between micro-batches", "parts": 1}, "at least 2 of them, not 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        Collector(None, lambda params, batch: params["x"], **settings)


def test_a_batch_of_one_has_its_gradient():
    model, params, losses, batch = small(examples=1)
    found = Collector(model, losses).collect(params, batch, ["gradient_norm_squared", "squared_norm_sum"]).statistics
    torch.testing.assert_close(found["gradient_norm_squared"], found["squared_norm_sum"], rtol=1e-12, atol=0)


def test_between_micro_batches():
    model, params, losses, batch = small(examples=7)
    found = Collector(model, losses, method="between micro-batches", parts=3).collect(params, batch, NAMES[:5])
    flat = kinds.brute_force(params, losses, batch)["flat"]
    means, sizes, g = [flat[:3].mean(0), flat[3:5].mean(0), flat[5:].mean(0)], [3, 2, 2], flat.mean(0)
    away = [b * (m - g).square() for b, m in zip(sizes, means, strict=True)]
    along = [b * (m.dot(g) - g.dot(g)).square() for b, m in zip(sizes, means, strict=True)]
    expected = {
        "gradient_norm_squared": g.dot(g),
        "variance_trace": sum(away).sum() / 2,
        "inner_product_variance": sum(along) / 2,
        "orthogonal_variance": sum(away).sum() / 2 - sum(along) / 2 / g.dot(g),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found.statistics[name], value, rtol=1e-10, atol=0)
    by_coordinate = torch.cat([v.flatten() for v in found.statistics["variance_by_coordinate"].values()])
    torch.testing.assert_close(by_coordinate, sum(away) / 2, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(torch.cat([v.flatten() for v in found.gradient.values()]), g, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("first", [1, 5])
@pytest.mark.parametrize("way", ["(T,)", "times"])
@pytest.mark.parametrize("examples", [3, 8])
def test_a_known_structure_holds_for_other_batches(examples, way, first):
    """Found out at one length; then others, among them as many positions as examples."""
    torch.manual_seed(0)
    model, params, losses, _ = kinds.tokens(kinds.Places(way, 9), 6, 5)
    collector = Collector(model, losses)
    for length in (first, examples, 1, 2):
        batch = kinds.tokens(kinds.Places(way, 9), 6, length, examples)[3]
        found = collector.collect(params, batch, ["variance_trace"]).statistics["variance_trace"]
        expected = kinds.brute_force(params, losses, batch)["variance_trace"]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_a_task_made_from_a_module():
    torch.manual_seed(0)
    model, loss = (
        nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double(),
        nn.CrossEntropyLoss(reduction="none"),
    )
    task = api.task_from_module(model, loss, torch.randn(9, 4).double(), torch.randint(3, (9,)))
    params, batch = task.init(), task.batch(torch.tensor([1, 4, 4, 7]))
    names = NAMES[:4]
    exact = Collector(task._model, task.losses).collect(params, batch, names)
    for other in (Collector(None, task.losses), Collector(task._model, task.losses, method="chunked")):
        found = other.collect(params, batch, names)
        for name, (key, value) in itertools.product(names, found.gradient.items()):
            torch.testing.assert_close(exact.statistics[name], found.statistics[name], rtol=1e-10, atol=0)
            torch.testing.assert_close(exact.gradient[key], value, rtol=1e-12, atol=1e-15)
    assert not any(how.startswith("gradients of single") for how in exact.report.values())


@pytest.mark.parametrize("layer", [nn.Linear(64, 64), kinds.Scaled(64, 64)])
def test_memory_stays_within_the_option(layer):
    """Gradients of 100 examples take 3.3 MB at once; with 100 kB, a few of them at a time."""
    from torch.profiler import ProfilerActivity, profile

    torch.manual_seed(0)
    model, params, losses, batch = kinds.vectors(nn.Sequential(layer, nn.Tanh()), 2, 64, examples=100)
    expected = kinds.brute_force(params, losses, batch)["variance_by_coordinate"]
    held = {}
    for memory in (1 << 28, 100_000):
        collector = Collector(model, losses, memory=memory)
        collector.collect(params, batch, ["variance_by_coordinate"])
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            variances = collector.collect(params, batch, ["variance_by_coordinate"]).statistics
        for name, variance in variances["variance_by_coordinate"].items():
            torch.testing.assert_close(variance.flatten(), expected[name], rtol=1e-10, atol=0)
        highest = now = 0
        for event in found.profiler.kineto_results.events():
            if event.name() == "[memory]":
                now += event.nbytes()
                highest = max(highest, now)
        held[memory] = highest
    assert held[100_000] < held[1 << 28] - 3_000_000
