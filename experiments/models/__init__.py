"""Networks for images, each a function of the images' shape (channels, height, width) and the number of classes.

They are in the state in which they are trained: no layer mixes the examples of a batch.
"""

from collections.abc import Callable

from torch import nn

from experiments.models import cifar_cnn, lenet, linear, mlp, mnist_cnn, resnet18

Shape = tuple[int, int, int]

MODELS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "linear": linear.network,
    "mlp": mlp.network,
    "lenet": lenet.network,
    "mnist_cnn": mnist_cnn.network,
    "cifar_cnn": cifar_cnn.network,
    "resnet18": resnet18.network,
    "resnet18_narrow": resnet18.narrow,
    "resnet18_frozen": resnet18.frozen,
}
