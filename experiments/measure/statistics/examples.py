"""Gradients of single examples by vmap, in chunks that fit in memory: for parameters that no formula covers."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from experiments.measure.statistics.contribution import row_squares
from experiments.measure.statistics.trace import Params
from optim.settings import SettingError

Losses = Callable[[Params, Params], Tensor]  # (params, batch) -> one loss for each example, (B,)


class Examples:
    """The examples' gradients with respect to the named parameters."""

    def __init__(self, losses: Losses, params: Params, names: set[str], batch: Params, memory: int) -> None:
        """params: all of them. batch: tensors whose first axis is the example. memory: bytes for gradients."""
        self.chosen = {name: p.detach() for name, p in params.items() if name in names}
        self.fixed = {name: p.detach() for name, p in params.items() if name not in names}
        self.losses, self.batch, self.count = losses, batch, len(next(iter(batch.values())))
        each = 2 * sum(p.numel() * p.element_size() for p in self.chosen.values())
        self.at_once = max(1, min(self.count, memory // each))

    def sums(
        self, gradient: Params, along: Params | None, by_coordinate: bool
    ) -> tuple[Tensor, Tensor | None, Params | None]:
        """||g_i||^2 and, if a direction is given, <g_i, direction>, each (B,); sum_i g_i^2 by coordinate if wanted.

        All in float64. gradient: of the mean loss. Raises SettingError where examples' gradients do not average to it.
        """
        device = next(iter(self.chosen.values())).device
        squared, products = torch.zeros(2, self.count, dtype=torch.float64, device=device)
        squares = (
            {n: torch.zeros_like(p, dtype=torch.float64) for n, p in self.chosen.items()} if by_coordinate else None
        )
        total = {n: torch.zeros_like(p, dtype=torch.float64) for n, p in self.chosen.items()}
        for start, gradients in self.chunks():
            for name, g in gradients.items():
                here = slice(start, start + len(g))
                squared[here] += row_squares(g)
                total[name] += g.sum(dim=0)
                if along is not None:
                    products[here] += g.flatten(1).mv(along[name].flatten()).double()
                if squares is not None:
                    squares[name] += g.double().square().sum(dim=0)
        off = sum(float((t / self.count - gradient[n]).square().sum()) for n, t in total.items()) ** 0.5
        eps = torch.finfo(next(iter(self.chosen.values())).dtype).eps
        if off > 30 * eps**0.5 * float(squared.mean().sqrt()):  # 1% in single precision
            raise SettingError(
                "the gradients of single examples do not average to that of the batch, so a loss depends on others or "
                "on chance: use no batch normalisation in training mode, and no dropout"
            )
        return squared, products if along is not None else None, squares

    def chunks(self) -> Iterator[tuple[int, Params]]:
        """The first example of a chunk, and the chunk's gradients by parameter, (n, *shape)."""
        for start in range(0, self.count, self.at_once):
            yield start, self._mapped({k: v[start : start + self.at_once] for k, v in self.batch.items()})

    def _mapped(self, part: Params) -> Params:
        def loss(chosen: Params, example: Params) -> Tensor:
            return self.losses({**self.fixed, **chosen}, {k: v.unsqueeze(0) for k, v in example.items()}).sum()

        one = torch.func.grad(loss)
        try:
            with sdpa_kernel(SDPBackend.MATH):  # the other kernels for attention cannot be mapped
                found: Params = torch.func.vmap(one, in_dims=(None, 0))(self.chosen, part)
                return found
        except RuntimeError as problem:  # a model that cannot be mapped: one example after another
            if isinstance(problem, torch.OutOfMemoryError):
                raise
            if "randomness" in str(problem):
                raise SettingError("the model draws at random, and some of its parameters need gradients of single "
                                   "examples, whose draws would be others: call model.eval()") from None  # fmt: skip
            return self._one_by_one(part)

    def _one_by_one(self, part: Params) -> Params:
        each = []
        for i in range(len(next(iter(part.values())))):
            leaves = {name: p.detach().requires_grad_() for name, p in self.chosen.items()}
            with torch.enable_grad():
                loss = self.losses({**self.fixed, **leaves}, {k: v[i : i + 1] for k, v in part.items()}).sum()
                each.append(torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True))
        return {name: torch.stack([g.to_dense() for g in gs]) for name, *gs in zip(self.chosen, *each, strict=True)}
