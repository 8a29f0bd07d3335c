"""Statistics of the gradients of single examples against loops over the examples."""

import models
import pytest
import torch

from experiments import measure
from experiments.measure import gradients
from optim.settings import SettingError


def by_hand(task, params, batch):
    """Gradients of the examples, (B, D), one autograd pass each."""
    rows = []
    for i in range(len(next(iter(batch.values())))):
        leaves = {k: p.clone().requires_grad_() for k, p in params.items()}
        loss = task.losses(leaves, {k: v[i : i + 1] for k, v in batch.items()}).sum()
        rows.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))]))
    return torch.stack(rows)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("memory", [1 << 28, 1])  # one example at a time
@pytest.mark.parametrize("some", [None, [0, 2, 3]])
@pytest.mark.parametrize("name", models.NAMES)
def test_statistics(name, some, memory, monkeypatch):
    monkeypatch.setattr(gradients, "_MEMORY", memory)
    monkeypatch.setattr(gradients, "_EXAMPLES_AT_ONCE", 3)
    task = models.make(name)
    params = task.init()
    batch = None if some is None else task.batch(torch.tensor(some))
    each = by_hand(task, params, task.batch(None) if batch is None else batch)
    g, count = each.mean(dim=0), len(each)
    found = measure.gradient_statistics(task, params, batch, gradients.STATISTICS)
    assert set(found) == set(gradients.STATISTICS)
    s = each @ g
    close(found["gradient_norm_squared"], g @ g)
    close(found["variance_trace"], torch.cov(each.T).trace())
    close(found["inner_product_variance"], s.var(unbiased=True))
    close(found["orthogonal_variance"], (each - torch.outer(s / (g @ g), g)).square().sum() / (count - 1))
    assert list(found["variance_by_coordinate"]) == list(params)
    close(models.flat(found["variance_by_coordinate"]), each.var(dim=0, unbiased=True))
    noise = measure.gradient_noise(task, params, batch)
    close(models.flat(noise), each.std(dim=0, unbiased=False))
    assert {k: v.shape for k, v in noise.items()} == {k: v.shape for k, v in params.items()}
    norms = measure.gradient_norms(task, params, batch)
    close(norms["l1"], g.abs().sum())
    close(norms["l2"], g.norm())
    close(norms["max"], g.abs().max())


def test_a_common_shift_of_the_gradients_does_not_hurt():
    """Per-example gradients 1e8 + x_i: the naive difference of squares would lose everything."""
    x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    task = models.Given(
        function=lambda p, b: (b["x"] + 1e8) @ p["w"], data={"x": x}, start={"w": torch.ones(1, dtype=torch.float64)}
    )
    found = measure.gradient_statistics(task, task.init(), None, ["variance_trace", "inner_product_variance"])
    torch.testing.assert_close(found["variance_trace"], x.var(), rtol=1e-7, atol=0)
    g = 1e8 + x.mean()
    torch.testing.assert_close(found["inner_product_variance"], x.var() * g**2, rtol=1e-7, atol=0)


def test_a_gradient_of_zero():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    start = {"w": torch.zeros(2, dtype=torch.float64)}
    task = models.Given(function=lambda p, b: b["x"] @ p["w"], data={"x": x}, start=start)
    found = measure.gradient_statistics(task, start, None, gradients.STATISTICS)
    assert found["gradient_norm_squared"] == found["inner_product_variance"] == 0
    assert found["orthogonal_variance"] == found["variance_trace"] == 2
    assert found["variance_by_coordinate"]["w"].tolist() == [2.0, 0.0]


def test_the_type_is_that_of_the_parameters():
    task = models.make("logistic")
    task.data = {k: v.float() for k, v in task.data.items()}
    params = {k: v.float() for k, v in task.init().items()}
    found = measure.gradient_statistics(task, params, None, gradients.STATISTICS)
    by_coordinate = found.pop("variance_by_coordinate")
    everything = [*found.values(), *by_coordinate.values(), *measure.gradient_noise(task, params).values()]
    assert {v.dtype for v in everything} == {torch.float32}
    assert measure.gradient_norms(task, params)["l2"].dtype == torch.float32


def test_a_model_that_vmap_cannot_map():
    task = models.make("logistic")
    mapped = measure.gradient_statistics(task, task.init(), None, ["variance_trace"])
    plain = task.function
    task.function = lambda p, b: plain(p, b) if float(b["rows"].sum()) < 1e9 else plain(p, b) * 2
    assert measure.gradient_statistics(task, task.init(), None, ["variance_trace"]) == mapped


def test_what_is_refused():
    task = models.make("logistic")
    one = task.batch(torch.tensor([3]))
    assert set(measure.gradient_statistics(task, task.init(), one, ["gradient_norm_squared"])) == {
        "gradient_norm_squared"
    }
    for name in gradients.STATISTICS[1:]:
        with pytest.raises(SettingError, match="at least 2 examples"):
            measure.gradient_statistics(task, task.init(), one, [name])
    with pytest.raises(SettingError, match="did you mean 'variance_trace'"):
        measure.gradient_statistics(task, task.init(), None, ["variance_trce"])
    mixing = models.Given(
        function=lambda p, b: ((b["rows"] - b["rows"].mean(dim=0)) @ p["weight"]) ** 2,
        data=task.data,
        start=task.start,
    )
    with pytest.raises(SettingError, match="depends on others"):
        measure.gradient_statistics(mixing, mixing.init(), None, ["variance_trace"])
