"""A network on made-up images, so that nothing needs to be downloaded."""

from dataclasses import dataclass
from typing import ClassVar

from data import ImageSet
from data.generators import smooth_images
from experiments.tasks.image_task import ImageTask
from optim.settings import setting


@dataclass(kw_only=True)
class SmoothImages(ImageTask):
    """See `ImageTask`; images are those of `data.generators.smooth_images`: templates, shifted, scaled and noisy."""

    version: ClassVar[int] = 1

    examples: int = setting(5000, minimum=2, doc="training images")
    test_examples: int = setting(1000, minimum=1, doc="test images")
    classes: int = setting(10, minimum=2, maximum=256, doc="classes, as often each")
    channels: int = setting(1, minimum=1, doc="channels of an image")
    side: int = setting(16, minimum=4, doc="height and width of an image")
    shift: int = setting(2, minimum=0, doc="pixels that a template is moved round by, at most, each way")
    contrast: float = setting(0.5, minimum=0.0, maximum=1.0, doc="by how much contrasts differ: from 1 - this to 1")
    noise: float = setting(0.2, minimum=0.0, doc="standard deviation of the noise of a pixel, in units of white")
    problem_seed: int = setting(0, minimum=0, doc="seed of the data, whatever the seed of the run is")

    def loaded(self) -> ImageSet:
        return smooth_images(
            self.examples,
            self.test_examples,
            classes=self.classes,
            channels=self.channels,
            side=self.side,
            shift=self.shift,
            contrast=self.contrast,
            noise=self.noise,
            seed=self.problem_seed,
        )

    def content(self) -> dict[str, str]:
        return {"data": self.loaded().digest}
