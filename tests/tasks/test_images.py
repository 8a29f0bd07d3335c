"""Tasks on images: losses and metrics against plain calls of the module, lanes, starting points, resuming."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import data
from data.generators import smooth_images
from experiments import api, config
from experiments.gradients import STRATEGIES, choose
from experiments.job import Job
from experiments.loop import Loop
from experiments.measure.gradients import gradient_statistics
from experiments.models import MODELS, resnet18
from experiments.order import Order
from experiments.tasks.augmentation import augmented
from experiments.tasks.noise import untagged
from optim.settings import SettingError

CPU = torch.device("cpu")
SMALL = ["task.examples=60", "task.test_examples=20", "task.side=8"]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """ResNets of 8 channels: they are the same code, and quick."""
    monkeypatch.setitem(MODELS, "resnet18", partial(resnet18.network, width=8))
    monkeypatch.setitem(MODELS, "resnet18_frozen", partial(resnet18.frozen, width=8))


def made(*overrides, name="generated_cnn"):
    return api.load_task(f"images/{name}", [*SMALL, *overrides])


def plain(task, name, params):
    """The network as a module of its own, with these parameters."""
    network = MODELS[name](task.loaded().shape, task.loaded().classes).double()
    network.load_state_dict({**network.state_dict(), **params})
    return network


def inputs_of(images, scale, train=None, white=255.0):
    """Pixels as the network sees them, in numpy; standardised by the training images."""
    if scale == "unit":
        return torch.from_numpy(images / white)
    x = train.astype(np.float64)
    return torch.from_numpy((images - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True))


@pytest.mark.parametrize("scale", ["unit", "standard"])
@pytest.mark.parametrize("model", list(MODELS))
def test_losses_and_metrics_are_those_of_the_module(model, scale):
    task = made(f"task.model={model}", f"task.scale={scale}", "task.channels=2")
    images = smooth_images(60, 20, channels=2, side=8, noise=0.2)
    params = task.init(torch.Generator().manual_seed(1))
    network, loss = plain(task, model, params), nn.CrossEntropyLoss(reduction="none")
    seen, test = (inputs_of(x, scale, images.images) for x in (images.images, images.test_images))
    labels, test_labels = (torch.from_numpy(y).long() for y in (images.labels, images.test_labels))
    with torch.no_grad():
        losses, scores = loss(network(seen), labels), network(test)
        torch.testing.assert_close(task.losses(params, task.batch(None)), losses, rtol=1e-11, atol=1e-11)
        draws = torch.tensor([5, 59, 5, 0])
        torch.testing.assert_close(task.losses(params, task.batch(draws)), losses[draws], rtol=1e-11, atol=1e-11)
    lanes = {k: torch.stack([v, 0.5 * v]) for k, v in params.items()}
    found = task.evaluate(lanes, lanes=2)
    assert set(found) == {"loss", "test_loss", "test_accuracy"}
    torch.testing.assert_close(found["loss"][0], losses.mean(), rtol=1e-11, atol=0)
    torch.testing.assert_close(found["test_loss"][0], loss(scores, test_labels).mean(), rtol=1e-11, atol=0)
    assert found["test_accuracy"][0] == (scores.argmax(dim=1) == test_labels).double().mean()
    one = task.evaluate({k: v[1] for k, v in lanes.items()})
    assert {k: float(v) for k, v in one.items()} == {k: float(v[1]) for k, v in found.items()}
    assert one["loss"] != found["loss"][0]


def test_evaluations_go_over_all_pieces_and_the_subset_is_spaced_evenly(monkeypatch):
    task = made()
    params = task.init()
    whole = task.evaluate(params)
    monkeypatch.setattr("experiments.tasks.image_task._AT_ONCE", 7)
    for name, value in task.evaluate(params).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=0)
    some = made("task.loss_examples=25")
    losses = task.losses(params, task.batch(torch.tensor([i * 60 // 25 for i in range(25)])))
    torch.testing.assert_close(some.evaluate(params)["loss"], losses.mean(), rtol=1e-12, atol=0)
    assert some.evaluate(params)["test_loss"] == task.evaluate(params)["test_loss"]


def test_digits_have_17_shades():
    task = api.load_task("images/digits_cnn")
    images = data.load_images("sklearn/digits")
    params = task.init()
    network = plain(task, "mnist_cnn", params)
    with torch.no_grad():
        scores = network(inputs_of(images.test_images, "unit", white=16.0))
    accuracy = (scores.argmax(dim=1).numpy() == images.test_labels).mean()
    assert float(task.evaluate(params)["test_accuracy"]) == pytest.approx(accuracy, rel=1e-12)
    assert task.describe() == {"examples": 1437, "test_examples": 360, "dimension": 14538, "classes": 10}


def test_images_stay_bytes_until_they_are_seen():
    task = made("task.crop=2", "task.flip=true")
    for draws in (None, torch.arange(3), torch.arange(6).view(2, 3)):
        assert task.batch(draws)["images"].dtype == torch.uint8
    assert task.batch(torch.arange(6).view(2, 3))["images"].shape == (2, 3, 1, 8, 8)


def test_parameters_start_as_the_layers_of_torch_do():
    task, state = made(), torch.get_rng_state()
    first, again, other = (task.init(torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state), "torch's own generator goes on where it was"
    assert list(first) == [name for name, _ in MODELS["mnist_cnn"]((1, 8, 8), 10).named_parameters()]
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first)
    for name, fan_in in (("0", 25), ("3", 400), ("7", 128)):  # uniform on +-1 / sqrt(fan in)
        bound = fan_in**-0.5
        assert 0.9 * bound < float(first[f"{name}.weight"].abs().max()) <= bound * (1 + 1e-6)
        assert float(first[f"{name}.bias"].abs().max()) <= bound * (1 + 1e-6)


def test_frozen_normalisation_starts_at_the_statistics_of_64_images():
    task = made("task.model=resnet18_frozen", "task.examples=128", "task.scale=standard")
    params = task.init(torch.Generator().manual_seed(1))
    other = task.init(torch.Generator().manual_seed(2))
    network = plain(task, "resnet18_frozen", params)
    inputs = inputs_of(task.loaded().images, "standard", task.loaded().images)[::2]
    outputs = []
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_hook(lambda layer, seen, made: outputs.append(made))
    with torch.no_grad():
        network(inputs)
    assert len(outputs) == 20
    for layer in outputs:  # in single precision, as they are calibrated
        assert float(layer.mean(dim=(0, 2, 3)).abs().max()) < 1e-3
        assert float((layer.var(dim=(0, 2, 3), correction=0) - 1).abs().max()) < 2e-2
    assert not torch.equal(params["1.bias"], other["1.bias"])
    start = resnet18.frozen((1, 8, 8), 10).state_dict()
    assert all(not start[k].any() for k in start if k.endswith("running_mean"))


def test_drawn_images_are_changed_and_no_others():
    task = made("task.crop=2", "task.flip=true")
    draws = Order(60, "replacement", [4], CPU, tags=True).draws(0, 200)
    indices, tags = untagged(draws)
    batch = task.batch(draws)
    assert torch.equal(batch["images"], augmented(task.tensors["images"][indices], tags, 2, True))
    assert torch.equal(batch["targets"], task.tensors["targets"][indices])
    assert (batch["images"] != task.tensors["images"][indices]).flatten(1).any(dim=1).float().mean() > 0.9
    for untouched in (task.batch(None), task.batch(torch.arange(60))):
        assert torch.equal(untouched["images"], task.tensors["images"])
    # A seed of a group, and the same drawn alone.
    group = Order(60, "replacement", [9, 4], CPU, tags=True).draws(0, 200)
    assert torch.equal(task.of_seed(task.batch(group), 1)["images"], batch["images"])
    assert not made().augments
    assert made("task.flip=true").augments


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize(("groups", "lanes"), [(1, 3), (2, 4)])
def test_every_strategy_gives_the_gradients_of_backward(model, groups, lanes):
    task = made(f"task.model={model}", "task.crop=1", "task.side=16")
    params = {
        k: torch.stack([v * (1 + 0.1 * lane) for lane in range(lanes)])
        for k, v in task.init(torch.Generator().manual_seed(1)).items()
    }
    batch = task.batch(Order(60, "replacement", list(range(groups)), CPU, tags=True).draws(0, 3))
    found = {name: STRATEGIES[name](task, params, batch, groups) for name in ("sequential", "batched", "vmapped")}
    for lane in range(lanes):
        network = plain(task, model, {k: v[lane] for k, v in params.items()})
        own = batch if groups == 1 else task.of_seed(batch, lane // (lanes // groups))
        loss = nn.functional.cross_entropy(network(own["images"].double() / 255), own["targets"])
        loss.backward()
        for losses, grads in found.values():
            torch.testing.assert_close(losses[lane], loss.detach(), rtol=1e-10, atol=1e-10)
            for name, p in network.named_parameters():
                torch.testing.assert_close(grads[name][lane], p.grad, rtol=1e-8, atol=1e-10)
    few = task.batch(torch.arange(2))
    assert choose(task, "cpu", lanes, few) == "sequential"
    if model == "mnist_cnn":
        assert choose(task, "cuda", lanes, few) == "batched"


def test_statistics_of_single_images_are_those_of_a_loop():
    task = made("task.crop=1")
    params, batch = task.init(), task.batch(torch.arange(5))
    each = []
    for i in range(5):
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        loss = task.losses(leaves, task.part(batch, i, i + 1)).sum()
        each.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()))]))
    found = gradient_statistics(task, params, batch, ["variance_trace"])
    torch.testing.assert_close(found["variance_trace"], torch.stack(each).var(dim=0).sum(), rtol=1e-10, atol=0)


class Memory:
    """Rows and the last checkpoint, in memory."""

    def __init__(self, saved=None):
        self.rows, self.saved = [], saved

    def append(self, row):
        self.rows.append(row)

    def save(self, tensors, numbers):
        self.saved = {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(numbers))

    def load(self):
        return self.saved


RUN = [
    "task=images/generated_cnn", *SMALL, "task.crop=2", "task.flip=true", "dtype=float64", "optimizer=adagrad",
    "batch_size.size=7", "budget.steps=12", "record=every:4", "sampling=reshuffled",
]  # fmt: skip


def parameters(words, sink=None):
    loop = Loop(Job(tuple(config.request([*RUN, *words]).runs)), sink or Memory())
    loop.run()
    return loop.lanes.flat.clone()


def test_lanes_equal_separate_runs():
    together = parameters(["lanes.lr=[0.01,0.1]", "lanes.seed=[0,5]"])
    alone = [parameters([f"optimizer.lr={lr}", f"seed={seed}"]) for seed in (0, 5) for lr in (0.01, 0.1)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-14)
    assert not torch.equal(alone[0], parameters(["optimizer.lr=0.01", "task.flip=false"]))


@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_resumed_run_ends_with_the_same_bits(at):
    words = ["lanes.lr=[0.01,0.1]", "seed=3"]
    whole, sink = parameters(words), Memory()
    loop = Loop(Job(tuple(config.request([*RUN, *words]).runs)), sink)
    loop.advance(at)
    loop._checkpoint()
    resumed = Memory(sink.saved)
    assert torch.equal(parameters(words, resumed), whole)
    assert resumed.saved[1]["step"] == 12


def test_the_identity_has_the_content_of_the_data():
    def identity(*words):
        return config.request(["task=images/generated_cnn", *SMALL, *words]).runs[0].id

    different = ["task.problem_seed=1", "task.noise=0.1", "task.crop=1", "task.flip=true", "task.model=linear"]
    assert len({identity(), *(identity(word) for word in different)}) == 1 + len(different)
    assert made().content() == {"data": smooth_images(60, 20, side=8, noise=0.2).digest}
    task = config.request(["task=images/digits_linear"]).runs[0].experiment.task
    assert task.content() == {"data": data.images_digest("sklearn/digits")}


def test_data_come_back_after_a_release():
    task = made()
    loss = task.evaluate(task.init())["loss"]
    for seed in range(1, 5):
        made(f"task.problem_seed={seed}")
    assert not task.tensors
    assert task.size == 60
    assert task.evaluate(task.init())["loss"] == loss


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=images/digits_cnn", "task.data=mnists"], "did you mean 'mnist'"),
        (["task=images/digits_cnn", "task.model=resnet"], "did you mean 'resnet18'"),
        (["task=images/digits_cnn", "task.loss_examples=1438"], "more than the 1,437 training images"),
        (["task=images/generated_cnn", "task.crop=-1"], "task.crop must be at least 0"),
        (["task=images/generated_cnn", "task.side=7", "task.model=cifar_cnn"], "at least 8 x 8, not 7 x 7"),
        (["task=images/generated_cnn", "task.shift=16"], "shift must be from 0 to 15"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(words, said):
    with pytest.raises((SettingError, data.DataError)) as caught:
        config.request(words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_training_learns():
    runs = config.request([
        "task=images/generated_cnn", "task.examples=400", "task.test_examples=100", "task.noise=0.05", "task.shift=1",
        "optimizer=adam", "optimizer.lr=0.003", "batch_size.size=20", "budget.steps=100", "record=ends",
    ]).runs  # fmt: skip
    sink = Memory()
    Loop(Job(tuple(runs)), sink).run()
    first, last = sink.rows[0]["metrics"], sink.rows[-1]["metrics"]
    assert first["test_accuracy"][0] < 0.3
    assert last["test_accuracy"][0] > 0.8
    assert last["test_loss"][0] < first["test_loss"][0] / 2
