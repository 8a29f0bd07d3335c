"""A network on a registered set of images."""

from dataclasses import dataclass
from typing import ClassVar

import data
from data import ImageSet
from experiments.tasks.image_task import ImageTask
from optim.settings import setting


@dataclass(kw_only=True)
class Images(ImageTask):
    """See `ImageTask`; the set has a training and a test part of its own."""

    version: ClassVar[int] = 1

    data: str = setting("sklearn/digits", choices=tuple(data.image_names()), doc="a registered set of images")

    def loaded(self) -> ImageSet:
        return data.load_images(self.data)

    def content(self) -> dict[str, str]:
        return {"data": data.images_digest(self.data)}
