"""The networks for images: their sizes, their layers by hand, and what frozen batch normalisation is calibrated to."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.models import MODELS, cifar_cnn, mlp, mnist_cnn, resnet18
from optim.settings import SettingError


def resnet_size(width, channels, classes):
    """Convolutions 9 a b, shortcuts a b, two numbers for each normalised channel, and the last layer."""
    widths = [width, *(width * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8))]
    total = 9 * channels * width + 2 * width
    for a, b in pairwise(widths):
        total += 9 * a * b + 9 * b * b + 4 * b + (a * b + 2 * b if a != b else 0)
    return total + (8 * width + 1) * classes


@pytest.mark.parametrize(
    ("name", "shape", "classes", "size"),
    [
        ("linear", (1, 28, 28), 10, 7850),
        ("mlp", (1, 28, 28), 10, 669_706),
        ("mlp", (2, 3, 5), 3, (30 + 1) * 512 + 513 * 512 + 513 * 3),
        ("mnist_cnn", (1, 28, 28), 10, (25 + 1) * 16 + (25 * 16 + 1) * 32 + (1568 + 1) * 10),
        ("mnist_cnn", (1, 8, 8), 10, 416 + 12832 + 1290),
        ("mnist_cnn", (2, 9, 15), 3, 816 + 12832 + (32 * 2 * 3 + 1) * 3),
        ("cifar_cnn", (3, 32, 32), 10, 448 + 4640 + 18496 + (1024 + 1) * 500 + 5010),
        ("cifar_cnn", (1, 8, 17), 4, 160 + 4640 + 18496 + (128 + 1) * 500 + 2004),
        ("resnet18", (3, 32, 32), 10, 11_173_962),
        ("resnet18_frozen", (3, 32, 32), 10, 11_173_962),
    ],
)
def test_sizes_and_shapes(name, shape, classes, size):
    model = MODELS[name](shape, classes)
    assert sum(p.numel() for p in model.parameters()) == size
    if name.startswith("resnet"):
        assert size == resnet_size(64, 3, 10)
        return
    assert model(torch.zeros(2, *shape)).shape == (2, classes)


def test_the_small_networks_layer_by_layer():
    source = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 28, 28, generator=source)
    model = mlp.network((1, 28, 28), 10)
    p = [q.detach() for q in model.parameters()]
    hidden = F.relu(F.relu(images.reshape(3, -1) @ p[0].T + p[1]) @ p[2].T + p[3])
    torch.testing.assert_close(model(images), hidden @ p[4].T + p[5])

    model = mnist_cnn.network((1, 28, 28), 10)
    p = [q.detach() for q in model.parameters()]
    assert p[4].shape == (10, 1568)
    hidden = F.max_pool2d(F.relu(F.conv2d(images, p[0], p[1], padding=2)), 2)
    hidden = F.max_pool2d(F.relu(F.conv2d(hidden, p[2], p[3], padding=2)), 2)
    torch.testing.assert_close(model(images), hidden.reshape(3, -1) @ p[4].T + p[5])

    images = torch.rand(3, 3, 32, 32, generator=source)
    model = cifar_cnn.network((3, 32, 32), 10)
    *p, v, c, w, d = (q.detach() for q in model.parameters())
    hidden = images
    for k in range(3):
        hidden = F.max_pool2d(F.relu(F.conv2d(hidden, p[2 * k], p[2 * k + 1], padding=1)), 2)
    torch.testing.assert_close(model(images), F.relu(hidden.reshape(3, 1024) @ v.T + c) @ w.T + d)


def reference_resnet(p, images, norm):
    """ResNet-18 from its parameters in order; `norm(x, weight, bias)`."""
    p = iter(p)
    hidden = F.conv2d(images, next(p), padding=1)
    hidden = F.relu(norm(hidden, next(p), next(p)))
    for stage in range(4):
        for block in range(2):
            changes = stage > 0 and block == 0
            first = norm(F.conv2d(hidden, next(p), stride=2 if changes else 1, padding=1), next(p), next(p)).relu()
            second = norm(F.conv2d(first, next(p), padding=1), next(p), next(p))
            skip = norm(F.conv2d(hidden, next(p), stride=2), next(p), next(p)) if changes else hidden
            hidden = F.relu(second + skip)
    out = F.linear(hidden.mean(dim=(2, 3)), next(p), next(p))
    assert next(p, None) is None
    return out


def scattered(model, seed):
    """Its parameters, in order, moved off their start so that every one of them matters."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for q in model.parameters():
            q += 0.1 * torch.randn(q.shape, generator=source, dtype=q.dtype)
    return [q.detach() for q in model.parameters()]


@pytest.mark.parametrize(("width", "groups"), [(8, (8, 16, 32, 32)), (64, (32, 32, 32, 32))])
def test_resnet_with_group_norm(width, groups):
    model = resnet18.network((3, 8, 8), 5, width=width).double()
    assert sum(q.numel() for q in model.parameters()) == resnet_size(width, 3, 5)
    by_channels = dict(zip((width, 2 * width, 4 * width, 8 * width), groups, strict=True))

    def norm(x, weight, bias):
        parts = x.reshape(len(x), by_channels[x.shape[1]], -1)
        parts = parts - parts.mean(dim=2, keepdim=True)
        parts = parts / (parts.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
        return parts.view_as(x) * weight[:, None, None] + bias[:, None, None]

    p = scattered(model, 1)
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = reference_resnet(p, images, norm)
    torch.testing.assert_close(model(images), wanted, rtol=1e-11, atol=1e-11)


def test_the_narrow_resnet():
    model = MODELS["resnet18_narrow"]((3, 32, 32), 10)
    assert sum(q.numel() for q in model.parameters()) == resnet_size(16, 3, 10) == 701_466
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_frozen_normalisation_does_what_training_mode_did_and_mixes_nothing():
    model = resnet18.frozen((3, 16, 16), 5, width=8).double()
    p = scattered(model, 3)
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    wanted = reference_resnet(p, images, lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True))
    assert not torch.allclose(model(images), wanted, rtol=0.1)
    resnet18.calibrate(model, images)
    found = model(images)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), found, rtol=1e-10, atol=1e-10)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert not part.training
            assert not part._forward_pre_hooks
            assert not part.running_mean.any()
            assert torch.equal(part.running_var, torch.ones_like(part.running_var))


@pytest.mark.parametrize(("name", "shape", "least"), [("mnist_cnn", (1, 3, 9), 4), ("cifar_cnn", (3, 8, 7), 8)])
def test_images_that_are_too_small(name, shape, least):
    with pytest.raises(SettingError, match=f"{name} needs images of at least {least} x {least}, not {shape[1]} x"):
        MODELS[name](shape, 10)
