"""Products with the Hessian of the mean loss at one point, and its trace."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from experiments.measure.replay.linear_map import LinearMap
from experiments.measure.replay.record import Unrecordable, record
from experiments.seeds import generator
from experiments.tasks.task import Batch, Params, Task
from optim.settings import SettingError

# A product on the kept graph costs about two gradients and needs no set-up; a replayed one costs 1 to 1.9, after a
# recording of 3 to 8. From this product on the recording has paid for itself (benchmarks/hessian_products.py).
_RECORD_AT = 15


def hessian_product(task: Task, params: Params, batch: Batch | None = None) -> Callable[[Params], Params]:
    """The function v -> H v, H being the Hessian of the mean loss over the batch (None: all the data) at `params`.

    v and H v have the names, shapes and type of `params`. The point is evaluated once, for all products. Raises
    SettingError if the loss has no second derivative, and ValueError for a v of another shape.
    """
    return _HessianProduct(task, params, task.batch(None) if batch is None else batch)


def mean_loss(task: Task, params: Params, batch: Batch) -> Tensor:
    """The mean of the losses, (); raises SettingError unless there is one loss per example."""
    losses = task.losses(params, batch)
    if losses.dim() != 1:
        raise SettingError(
            f"a task must return one loss per example, (B,), and these have the shape {(*losses.shape,)}"
        )
    return losses.mean()


class _HessianProduct:
    """First a double backward on a graph that is kept; after some products, that is recorded once and replayed."""

    def __init__(self, task: Task, params: Params, batch: Batch) -> None:
        self.shapes = {name: p.shape for name, p in params.items()}
        self.leaves = [p.detach().requires_grad_() for p in params.values()]
        # The other kernels for attention have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            loss = mean_loss(task, dict(zip(params, self.leaves, strict=True)), batch)
            _refuse_once_differentiable(loss)
            with _twice():
                grads = torch.autograd.grad(loss, self.leaves, create_graph=True, materialize_grads=True)
        self.curved = [i for i, g in enumerate(grads) if g.requires_grad]  # where the loss is not linear
        self.grads = [grads[i] for i in self.curved]
        self.count = 0
        self.replay: LinearMap | None = None
        self.checked = False

    def __call__(self, vector: Params) -> Params:
        if {k: v.shape for k, v in vector.items()} != self.shapes:
            raise ValueError("a vector for a Hessian product must have the names and shapes of the parameters")
        tensors = [vector[name].detach().to(p.dtype) for name, p in zip(self.shapes, self.leaves, strict=True)]
        return dict(zip(self.shapes, self._product(tensors), strict=True))

    def _product(self, tensors: list[Tensor]) -> list[Tensor]:
        self.count += 1
        if self.replay is not None and self.checked:
            return self.replay(tensors)
        if self.count == _RECORD_AT:
            try:
                found, self.replay = record(self._backward, tensors)
                return found
            except Unrecordable:  # then the kept graph serves on
                return self._backward(tensors)
        found = self._backward(tensors)
        if self.replay is not None:
            self._check(found, self.replay(tensors))
        return found

    def _backward(self, tensors: list[Tensor]) -> list[Tensor]:
        if not self.curved:
            return [torch.zeros_like(t) for t in tensors]
        with _twice():
            found = torch.autograd.grad(
                self.grads, self.leaves, [tensors[i] for i in self.curved], retain_graph=True, materialize_grads=True
            )
        return list(found)

    def _check(self, expected: list[Tensor], replayed: list[Tensor]) -> None:
        """Use the recording only if its first replay gives what the graph gives; the graph is then let go."""
        wanted, found = (torch.cat([t.reshape(-1) for t in tensors]) for tensors in (expected, replayed))
        if bool((wanted - found).norm() <= 1e4 * torch.finfo(wanted.dtype).eps * wanted.norm()):
            self.checked, self.grads = True, []
        else:
            self.replay = None


class _twice:
    """Turns torch's complaints about a missing second derivative into one sentence."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: object) -> None:
        text = str(problem).lower()
        if isinstance(problem, RuntimeError) and any(word in text for word in _NOT_TWICE):
            reason = str(problem).splitlines()[0].rstrip(".")
            raise SettingError(
                f"this loss cannot be differentiated twice ({reason}): use operations with a second derivative, "
                'such as attn_implementation="eager"'
            ) from None


_NOT_TWICE = ("not implemented", "once_differentiable", "double backward", "differentiate twice")


def _refuse_once_differentiable(loss: Tensor) -> None:
    """Where such a function is given a constant gradient, torch does not complain but takes its derivative to be 0."""
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [before for before, _ in node.next_functions]
        backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
        if getattr(getattr(backward, "__code__", None), "co_qualname", "").startswith("once_differentiable."):
            raise SettingError(f"this loss cannot be differentiated twice: {node.name()} is once_differentiable")


class Estimate(NamedTuple):
    """A number with its standard error (0 if it is exact)."""

    value: float
    standard_error: float


def hessian_trace(
    task: Task, params: Params, batch: Batch | None = None, samples: int = 100, seed: int = 0
) -> Estimate:
    """The trace of the Hessian of the mean loss, by Hutchinson's estimator with Rademacher vectors.

    It takes `samples` products; where the dimension is at most that, the diagonal is added up instead, exactly.
    """
    if samples < 2:
        raise ValueError(f"a standard error needs at least 2 samples, not {samples}")
    product = hessian_product(task, params, batch)
    names, sizes = list(params), [p.numel() for p in params.values()]
    like = next(iter(params.values()))
    dimension = sum(sizes)
    exact = dimension <= samples
    source = generator(seed, "hessian trace")
    found = []
    for k in range(dimension if exact else samples):
        flat = torch.zeros(dimension) if exact else torch.randint(2, (dimension,), generator=source) * 2.0 - 1
        if exact:
            flat[k] = 1
        parts = flat.to(like.device, like.dtype).split(sizes)
        vector = {name: part.view(params[name].shape) for name, part in zip(names, parts, strict=True)}
        image = product(vector)
        found.append(sum(float((vector[n] * image[n]).sum(dtype=torch.float64)) for n in names))
    numbers = torch.tensor(found, dtype=torch.float64)
    if exact:
        return Estimate(float(numbers.sum()), 0.0)
    return Estimate(float(numbers.mean()), float(numbers.std()) / samples**0.5)
