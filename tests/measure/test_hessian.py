"""Hessian products and traces against dense Hessians."""

import models
import pytest
import torch

from experiments import measure
from experiments.measure import hessian
from optim.settings import SettingError


@pytest.mark.parametrize("name", models.NAMES)
def test_products_of_both_kinds_equal_the_dense_hessian(name):
    task = models.make(name)
    params = task.init()
    dense = models.dense_hessian(task, params, task.batch(None))
    assert dense.abs().max() > 1e-3
    product = measure.hessian_product(task, params)
    source = torch.Generator().manual_seed(1)
    for _ in range(hessian._RECORD_AT + 4):
        vector = torch.randn(len(dense), generator=source, dtype=torch.float64)
        before = vector.clone()
        image = product(models.unflat(vector, params))
        assert {k: (v.shape, v.dtype) for k, v in image.items()} == {k: (p.shape, p.dtype) for k, p in params.items()}
        torch.testing.assert_close(models.flat(image), dense @ vector, rtol=1e-10, atol=1e-10 * float(dense.norm()))
        assert torch.equal(vector, before)
    assert product.checked, "the last products must have been replayed"


def test_a_batch_and_no_grad_are_respected():
    task = models.make("mlp")
    params, some = task.init(), task.batch(torch.tensor([4, 1]))
    dense = models.dense_hessian(task, params, some)
    with torch.no_grad():
        product = measure.hessian_product(task, params, some)
        columns = [models.flat(product(models.unflat(e, params))) for e in torch.eye(len(dense), dtype=torch.float64)]
    torch.testing.assert_close(torch.stack(columns, dim=1), dense, rtol=1e-10, atol=1e-12)


def test_results_are_not_touched_by_later_products():
    task = models.make("gpt")
    params = task.init()
    product = measure.hessian_product(task, params)
    vector = {k: torch.ones_like(p) for k, p in params.items()}
    images = [product(vector) for _ in range(hessian._RECORD_AT + 3)]
    copies = [{k: v.clone() for k, v in image.items()} for image in images]
    for value in images[-1].values():
        value.fill_(7.0)
    again = product(vector)
    for image in (*images[:-1], again):
        for k, v in image.items():
            torch.testing.assert_close(v, copies[0][k], rtol=1e-10, atol=1e-10)


def test_a_quadratic_whose_hessian_is_the_identity_and_unused_or_linear_parameters():
    start = {k: torch.ones(3, dtype=torch.float64) for k in ("curved", "linear", "unused")}

    def losses(params, batch):
        return batch["x"] * (0.5 * params["curved"].square().sum() + params["linear"].sum())

    task = models.Given(function=losses, data={"x": torch.ones(2, dtype=torch.float64)}, start=start)
    product = measure.hessian_product(task, start)
    for k in range(hessian._RECORD_AT + 3):
        vector = {n: torch.full((3,), k + 1.0, dtype=torch.float64) for n in start}
        image = product(vector)
        assert torch.equal(image["curved"], vector["curved"])
        assert image["curved"].data_ptr() != vector["curved"].data_ptr()
        assert not image["linear"].any()
        assert not image["unused"].any()


def test_a_loss_that_is_linear_has_no_curvature():
    task = models.Given(
        function=lambda p, b: b["x"] @ p["w"],
        data={"x": torch.randn(4, 3)},
        start={"w": torch.randn(3)},
    )
    product = measure.hessian_product(task, task.init())
    for _ in range(hessian._RECORD_AT + 2):
        assert not product({"w": torch.ones(3)})["w"].any()


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


def test_a_loss_without_a_second_derivative_is_refused_in_one_sentence():
    task = models.Given(
        function=lambda p, b: b["x"] @ _Once.apply(p["w"]),
        data={"x": torch.randn(4, 3)},
        start={"w": torch.randn(3)},
    )
    with pytest.raises(SettingError, match="cannot be differentiated twice") as caught:
        measure.hessian_product(task, task.init())({"w": torch.ones(3)})
    assert "\n" not in str(caught.value)


def test_a_scalar_loss_and_a_vector_of_another_shape_are_refused():
    task = models.make("logistic")
    with pytest.raises(ValueError, match="names and shapes"):
        measure.hessian_product(task, task.init())({"weight": torch.ones(5)})
    task.function = lambda p, b: p["weight"].sum()
    with pytest.raises(SettingError, match="one loss per example"):
        measure.hessian_product(task, task.init())


class _Branching(torch.autograd.Function):
    """x^3 whose backward looks at a number: it cannot be recorded."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * grad * _Seen.apply(x) ** 2


class _Seen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float(grad.isfinite().all())


def test_what_cannot_be_recorded_is_still_right():
    start = {"w": torch.tensor([0.5, -2.0, 1.5], dtype=torch.float64)}
    scale = torch.tensor([1.0, 2.0], dtype=torch.float64)
    task = models.Given(function=lambda p, b: b["x"] * _Branching.apply(p["w"]).sum(), data={"x": scale}, start=start)
    product = measure.hessian_product(task, start)
    for k in range(hessian._RECORD_AT + 3):
        vector = torch.tensor([1.0, k, -k], dtype=torch.float64)
        torch.testing.assert_close(product({"w": vector})["w"], 1.5 * 6 * start["w"] * vector, rtol=1e-14, atol=0)
    assert product.replay is None


# Trace ----------------------------------------------------------------------------------------------------------------


def test_the_trace_is_exact_in_few_dimensions():
    task = models.make("mlp")
    dense = models.dense_hessian(task, task.init(), task.batch(None))
    found = measure.hessian_trace(task, task.init(), samples=len(dense))
    assert found.standard_error == 0
    assert found.value == pytest.approx(float(dense.trace()), rel=1e-10)


def test_hutchinsons_estimate_is_that_of_its_own_vectors():
    """With the same Rademacher vectors, mean and standard error are those of the dense quadratic forms."""
    task = models.make("mlp")
    dense = models.dense_hessian(task, task.init(), task.batch(None))
    value, error = measure.hessian_trace(task, task.init(), samples=30, seed=3)
    source = hessian.generator(3, "hessian trace")
    signs = torch.stack([torch.randint(2, (len(dense),), generator=source) * 2.0 - 1 for _ in range(30)]).double()
    forms = ((signs @ dense) * signs).sum(dim=1)
    assert value == pytest.approx(float(forms.mean()), rel=1e-10)
    assert error == pytest.approx(float(forms.var(unbiased=True) / 30) ** 0.5, rel=1e-10)
    # For Rademacher vectors the variance of one is 2 sum_{j != k} H_jk^2.
    true = float(2 * (dense.square().sum() - dense.diagonal().square().sum()))
    assert 30 * error**2 == pytest.approx(true, rel=0.8)
    assert abs(value - float(dense.trace())) < 4 * (true / 30) ** 0.5
    with pytest.raises(ValueError, match="at least 2"):
        measure.hessian_trace(task, task.init(), samples=1)
