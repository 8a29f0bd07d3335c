"""LeNet-5: its size, its layers by hand, gradients of single examples, and the tasks that use it."""

import pytest
import torch
from torch.nn import functional as F

from experiments import api, measure
from experiments.models import MODELS, lenet
from optim.settings import SettingError


@pytest.mark.parametrize(
    ("shape", "classes", "size"),
    [
        ((1, 28, 28), 10, 61_706),
        ((1, 28, 28), 10, 26 * 6 + 151 * 16 + 401 * 120 + 121 * 84 + 85 * 10),
        ((3, 32, 32), 100, 76 * 6 + 151 * 16 + (16 * 36 + 1) * 120 + 121 * 84 + 85 * 100),
        ((1, 8, 8), 10, 26 * 6 + 151 * 16 + (16 * 4 + 1) * 120 + 121 * 84 + 85 * 10),
        ((2, 14, 17), 3, 51 * 6 + 151 * 16 + (16 * 2 + 1) * 120 + 121 * 84 + 85 * 3),
        ((1, 4, 13), 3, 26 * 6 + 151 * 16 + (16 * 3 + 1) * 120 + 121 * 84 + 85 * 3),
    ],
)
def test_sizes_and_shapes(shape, classes, size):
    model = MODELS["lenet"](shape, classes)
    assert sum(p.numel() for p in model.parameters()) == size
    assert model(torch.zeros(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize(("side", "padding"), [(28, 0), (14, 0), (13, 2), (8, 2)])
def test_layer_by_layer(side, padding):
    model = lenet.network((1, side, side), 10).double()
    images = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = [q.detach() for q in model.parameters()]
    hidden = torch.tanh(F.conv2d(F.pad(images, (2, 2, 2, 2)), p[0], p[1]))
    hidden = _pooled(hidden)
    hidden = _pooled(torch.tanh(F.conv2d(hidden, p[2], p[3], padding=padding)))
    hidden = torch.tanh(hidden.reshape(3, -1) @ p[4].T + p[5])
    hidden = torch.tanh(hidden @ p[6].T + p[7])
    torch.testing.assert_close(model(images), hidden @ p[8].T + p[9], rtol=1e-12, atol=1e-12)


def _pooled(images: torch.Tensor) -> torch.Tensor:
    """Means over 2 x 2; an odd last row or column is dropped."""
    images = images[..., : images.shape[-2] // 2 * 2, : images.shape[-1] // 2 * 2]
    return (images[..., ::2, ::2] + images[..., 1::2, ::2] + images[..., ::2, 1::2] + images[..., 1::2, 1::2]) / 4


def test_images_that_are_too_small():
    with pytest.raises(SettingError, match="lenet needs images of at least 4 x 4, not 3 x 9"):
        MODELS["lenet"]((1, 3, 9), 10)


def test_gradients_of_single_examples():
    """Their statistics from one backward pass are those of a loop over the examples."""
    task = api.load_task("images/digits_lenet")
    params = task.init(torch.Generator().manual_seed(1))
    batch = task.batch(torch.arange(0, 60, 5))
    names = ["variance_trace", "inner_product_variance", "variance_by_coordinate"]
    found = measure.gradient_statistics(task, params, batch, names)
    rows = []
    for k in range(12):
        free = {name: q.clone().requires_grad_() for name, q in params.items()}
        loss = task.losses(free, {name: part[k : k + 1] for name, part in batch.items()}).sum()
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(free.values()))]))
    grads = torch.stack(rows)
    torch.testing.assert_close(found["variance_trace"], grads.var(dim=0).sum(), rtol=1e-10, atol=0)
    along = (grads @ grads.mean(dim=0)).var()
    torch.testing.assert_close(found["inner_product_variance"], along, rtol=1e-10, atol=0)
    by_coordinate = torch.cat([v.flatten() for v in found["variance_by_coordinate"].values()])
    torch.testing.assert_close(by_coordinate, grads.var(dim=0), rtol=1e-8, atol=1e-15)


def test_training_on_the_digits(tmp_path):
    words = ["task=images/digits_lenet", "optimizer=adam", "optimizer.lr=0.003", "budget.examples=14370"]
    result = api.run([*words, "batch_size.size=32", f"store={tmp_path}"])[0]
    assert result.status == "finished"
    assert result.metrics["test_accuracy"] > 0.8
