"""Classification of images by a network: what tasks on images share."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from data import ImageSet
from experiments.models import MODELS, resnet18
from experiments.tasks.augmentation import augmented
from experiments.tasks.noise import untagged
from experiments.tasks.task import Batch, Params, Strategy, Task, spaced
from optim.settings import SettingError, setting

_AT_ONCE = 500  # images of an evaluation
_CALIBRATION = 64  # images that frozen normalisation is calibrated on


@dataclass(kw_only=True)
class ImageTask(Task):
    """`f(w) = mean_i (log sum_k exp(z_ik) - z_{i, y_i})`, z_i = model_w(x_i), over the training images as they are.

    Images stay bytes on the device and become numbers in `losses`. With `crop` or `flip`, those that a step draws are
    changed as a function of the draw (`experiments.tasks.augmentation`); evaluations, probes and batches of all the
    data see them unchanged. Parameters start as torch's layers do, drawn on the CPU from the seed of the run; frozen
    batch normalisation (the model resnet18_frozen) is calibrated on 64 training images first.

    A task on images defines `loaded` and `content`.
    """

    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "sequential", "cuda": "batched"}

    model: str = setting("mnist_cnn", choices=tuple(MODELS), doc="the network (experiments/models)")
    scale: str = setting(
        "unit", choices=("unit", "standard"), doc='pixels in [0, 1], or "standard": mean 0 and variance 1 by channel'
    )
    crop: int = setting(0, minimum=0, doc="black pixels around a drawn image, out of which it is cut at random")
    flip: bool = setting(False, doc="turn a drawn image left to right, every other time at random")
    loss_examples: int | None = setting(
        None, minimum=1, doc='training images, evenly spaced, that "loss" is measured on (default: all)'
    )

    def loaded(self) -> ImageSet:
        """The images. Raises DataError."""
        raise NotImplementedError

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        images = self.loaded()
        self._shape, self._classes = images.shape, images.classes
        if self.loss_examples is not None and self.loss_examples > len(images.images):
            raise SettingError(
                f"task.loss_examples={self.loss_examples} is more than the {len(images.images):,} training images"
            )
        self.network = self._made().to(device, dtype)

        def placed(pixels: Any, labels: Any) -> Batch:
            # Copied: arrays from the cache may not be written to, and their memory is freed.
            targets = torch.tensor(labels, dtype=torch.int64)
            return {"images": torch.tensor(pixels).to(device), "targets": targets.to(device)}

        train = placed(images.images, images.labels)
        self._test = placed(images.test_images, images.test_labels)
        mean, deviation = _moments(train["images"]) if self.scale == "standard" else (torch.tensor(0.0), images.white)
        self._centre = (torch.as_tensor(mean).to(device, dtype), torch.as_tensor(deviation).to(device, dtype))
        self.tensors = train

    def release(self) -> None:
        super().release()
        self._test = {}

    @property
    def size(self) -> int:
        self._there()
        return len(self.tensors["targets"])

    @property
    def augments(self) -> bool:
        return self.crop > 0 or self.flip

    def init(self, generator: torch.Generator | None = None) -> Params:
        """Torch's default initialisation, drawn from the generator; without one, from that of seed 0."""
        self._there()
        made = self._made(generator)
        chosen = spaced(self.size, min(_CALIBRATION, self.size)).to(self.tensors["images"].device)
        mean, deviation = (part.float().cpu() for part in self._centre)
        resnet18.calibrate(made, (self.tensors["images"][chosen].cpu().float() - mean) / deviation)
        device, dtype = self.last_prepared
        return {name: p.detach().to(device, dtype) for name, p in made.named_parameters()}

    def batch(self, draws: Tensor | None) -> Batch:
        if draws is None:
            return self.tensors
        if not self.augments:
            return super().batch(draws)
        indices, tags = untagged(draws)
        chosen = self.tensors["images"][indices.reshape(-1)]
        changed = augmented(chosen, tags.reshape(-1), self.crop, self.flip)
        return {"images": changed.reshape(*draws.shape, *self._shape), "targets": self.tensors["targets"][indices]}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        return cross_entropy(self.outputs(params, batch["images"]), batch["targets"], reduction="none")

    def outputs(self, params: Params, images: Tensor) -> Tensor:
        """The scores of the classes, (B, k), for images as bytes, (B, channels, height, width)."""
        mean, deviation = (part.to(next(iter(params.values())).dtype) for part in self._centre)
        inputs = (images.to(deviation.dtype) - mean) / deviation
        assert self.network is not None
        scores: Tensor = torch.func.functional_call(self.network, params, (inputs,))
        return scores

    @torch.no_grad()
    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        """The "loss" over the training images, or those of `loss_examples`; "test_loss" and "test_accuracy"."""
        each = [params] if lanes is None else [{k: v[lane] for k, v in params.items()} for lane in range(lanes)]
        train = self.tensors
        if self.loss_examples is not None:
            chosen = spaced(self.size, self.loss_examples).to(train["targets"].device)
            train = {k: v[chosen] for k, v in train.items()}
        found = []
        for one in each:
            loss, _ = self._means(one, train)
            found.append(torch.stack([loss, *self._means(one, self._test)]))
        numbers = torch.stack(found, dim=-1) if lanes is not None else found[0]
        return dict(zip(("loss", "test_loss", "test_accuracy"), numbers, strict=True))

    def _means(self, params: Params, data: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss and the share of right answers, float64."""
        images, targets = data["images"], data["targets"]
        loss, right = (torch.zeros((), dtype=torch.float64, device=targets.device) for _ in range(2))
        for some, labels in zip(images.split(_AT_ONCE), targets.split(_AT_ONCE), strict=True):
            scores = self.outputs(params, some)
            loss += cross_entropy(scores, labels, reduction="none").sum(dtype=torch.float64)
            right += (scores.argmax(dim=1) == labels).sum()
        return loss / len(targets), right / len(targets)

    def describe(self) -> dict[str, Any]:
        size = self.size
        assert self.network is not None
        dimension = sum(p.numel() for p in self.network.parameters())
        facts = {"examples": size, "test_examples": len(self._test["targets"])}
        return {**facts, "dimension": dimension, "classes": self._classes}

    def _there(self) -> None:
        """Have the data, where they were wanted last."""
        if not self.tensors:
            self.prepare(*self.last_prepared)

    def _made(self, generator: torch.Generator | None = None) -> nn.Module:
        """A network whose initial values depend on the generator alone, and which leaves torch's own one as it was."""
        source = generator or torch.Generator().manual_seed(0)
        seed = int(torch.randint(1 << 62, (), generator=source))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return MODELS[self.model](self._shape, self._classes)


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels of each channel, (channels, 1, 1) float64; those of one value are left.

    Sums are whole numbers, so they are the same on every device.
    """
    count = images.numel() // images.shape[1]
    first = torch.stack([part.sum(dim=(0, 2, 3), dtype=torch.int64) for part in images.split(_AT_ONCE)]).sum(dim=0)
    second = torch.stack([part.long().square().sum(dim=(0, 2, 3)) for part in images.split(_AT_ONCE)]).sum(dim=0)
    mean = first.double() / count
    deviation = (second.double() / count - mean.square()).clamp(min=0).sqrt()
    return mean.view(-1, 1, 1), torch.where(deviation > 0, deviation, 1.0).view(-1, 1, 1)
