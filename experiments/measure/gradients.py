"""The gradient of the mean loss and how the gradients of single examples scatter around it.

Gradients of single examples are made by vmap in chunks that fit in memory: exact for every task, and what faster ways
are tested against.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from experiments.measure.hessian import mean_loss
from experiments.tasks.task import Batch, Params, Task
from optim.settings import SettingError, nearest

STATISTICS = (
    "gradient_norm_squared",
    "variance_trace",
    "inner_product_variance",
    "orthogonal_variance",
    "variance_by_coordinate",
)
_MEMORY = 1 << 28  # bytes of gradients of single examples at a time
_EXAMPLES_AT_ONCE = 4096


def gradient_norms(task: Task, params: Params, batch: Batch | None = None) -> dict[str, Tensor]:
    """The norms "l1", "l2" and "max", each (), of the gradient of the mean loss over the batch (None: all the data)."""
    flat = _mean_gradient(task, params, batch).to(next(iter(params.values())).dtype)
    return {"l1": flat.abs().sum(), "l2": flat.norm(), "max": flat.abs().amax()}


def gradient_statistics(
    task: Task, params: Params, batch: Batch | None, names: Iterable[str]
) -> dict[str, Tensor | Params]:
    """The named statistics of the gradients g_i of the B examples of a batch (None: all the data), g being their mean.

    gradient_norm_squared: ||g||^2. variance_trace: sum_i ||g_i - g||^2 / (B - 1). With s_i = <g_i, g>,
    inner_product_variance: sum_i (s_i - ||g||^2)^2 / (B - 1), and orthogonal_variance:
    sum_i ||g_i - (s_i / ||g||^2) g||^2 / (B - 1) (Bollapragada, Byrd and Nocedal 2018, section 3). Each is (), in the
    type of `params`. variance_by_coordinate: variance_trace before it is summed, a dict like `params`.

    Raises SettingError for an unknown name, for a variance of fewer than two examples and where examples are mixed.
    """
    wanted = list(names)
    for name in wanted:
        if name not in STATISTICS:
            raise SettingError(f"there is no statistic of the gradient called '{name}': {nearest(name, STATISTICS)}")
    mean = _mean_gradient(task, params, batch)
    squared = mean.dot(mean)
    found: dict[str, Tensor | Params] = {"gradient_norm_squared": squared}
    if any(name != "gradient_norm_squared" for name in wanted):
        count = _count(task, batch)
        if count < 2:
            raise SettingError(f"a variance of gradients needs at least 2 examples, and this batch has {count}")
        sums = _sums(task, params, batch, mean, along="orthogonal_variance" in wanted)
        by_coordinate = sums["by_coordinate"] / (count - 1)
        found["variance_trace"] = by_coordinate.sum()
        found["inner_product_variance"] = sums["inner"] / (count - 1)
        found["orthogonal_variance"] = sums["orthogonal"] / (count - 1)
        found["variance_by_coordinate"] = _like(by_coordinate, params)
    dtype = next(iter(params.values())).dtype
    return {n: v.to(dtype) if isinstance(v, Tensor) else v for n, v in found.items() if n in wanted}


def gradient_noise(task: Task, params: Params, batch: Batch | None = None) -> Params:
    """Standard deviation sigma_j of coordinate j of the gradient of one example drawn from the batch, like `params`.

    The population's, divided by n: the smallest sigma with `E n_j^2 <= sigma_j^2` for one sample at this point, as the
    AdaGrad paper (arXiv 2406.15244) assumes. None: all the data.
    """
    known = task.gradient_moments(params) if batch is None else None
    if known is not None:
        return {name: variance.sqrt() for name, variance in known[1].items()}
    mean = _mean_gradient(task, params, batch)
    sums = _sums(task, params, batch, mean, along=False)
    return _like((sums["by_coordinate"] / _count(task, batch)).sqrt(), params)


def _like(flat: Tensor, params: Params) -> Params:
    parts = flat.split([p.numel() for p in params.values()])
    return {name: part.view(p.shape).to(p.dtype) for (name, p), part in zip(params.items(), parts, strict=True)}


def _count(task: Task, batch: Batch | None) -> int:
    """Number of examples."""
    if batch is not None:
        return task.count(batch)
    if task.size is None:
        raise SettingError("this task is an endless stream: give a batch")
    return task.size


def _parts(task: Task, params: Params, batch: Batch | None, at_once: int) -> Iterator[tuple[Batch, int]]:
    """The batch (None: all the data) in pieces of at most so many examples, and how many each has."""
    device = next(iter(params.values())).device
    for i in range(0, count := _count(task, batch), at_once):
        j = min(i + at_once, count)
        if batch is None:
            yield task.batch(torch.arange(i, j, device=device)), j - i
        else:
            yield task.part(batch, i, j), j - i


def _mean_gradient(task: Task, params: Params, batch: Batch | None) -> Tensor:
    """The gradient of the mean loss, flat, added up in float64."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    total = torch.zeros(sum(p.numel() for p in params.values()), dtype=torch.float64)
    total = total.to(next(iter(params.values())).device)
    count = _count(task, batch)
    for part, size in _parts(task, params, batch, _EXAMPLES_AT_ONCE if batch is None else count):
        with torch.enable_grad():
            loss = mean_loss(task, leaves, part)
            grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        total += torch.cat([g.reshape(-1) for g in grads]).double() * (size / count)
    return total


def _sums(task: Task, params: Params, batch: Batch | None, mean: Tensor, along: bool) -> dict[str, Tensor]:
    """Sums over the examples of squares of g_i - g: by coordinate, along g, and (if asked for) orthogonal to it."""
    item = next(iter(params.values())).element_size()
    at_once = max(1, min(_EXAMPLES_AT_ONCE, _MEMORY // (item * len(mean))))
    by_coordinate, off = torch.zeros_like(mean), torch.zeros_like(mean)
    inner, orthogonal = mean.new_zeros(()), mean.new_zeros(())
    squared = mean.dot(mean)
    for part, _ in _parts(task, params, batch, at_once):
        away = _example_gradients(task, params, part).double().sub_(mean)
        products = away @ mean
        by_coordinate += (away * away).sum(dim=0)
        off += away.sum(dim=0)
        inner += products.dot(products)
        if along:
            away -= torch.where(squared > 0, products / squared, 0.0)[:, None] * mean
            # g_i - (s_i / ||g||^2) g, but for g = 0, where nothing is taken off
            orthogonal += (away * away).sum()
    count = _count(task, batch)
    _refuse_mixed(off / count, by_coordinate / count, mean, torch.finfo(next(iter(params.values())).dtype).eps)
    return {"by_coordinate": by_coordinate, "inner": inner, "orthogonal": orthogonal}


def _refuse_mixed(off: Tensor, variances: Tensor, mean: Tensor, eps: float) -> None:
    """Gradients of single examples must average to the gradient of the mean loss."""
    if float(off.norm()) > 30 * eps**0.5 * float(mean.norm() + variances.sum().sqrt()):  # 1% in single precision
        raise SettingError(
            "the gradients of single examples do not average to that of the batch, so a loss depends on others: "
            "use no batch normalisation in training mode, and no dropout"
        )


def _example_gradients(task: Task, params: Params, batch: Batch) -> Tensor:
    """The gradients of the examples of a batch, (B, D)."""
    fixed = {name: p.detach() for name, p in params.items()}
    known = task.example_gradients(fixed, batch)
    if known is not None:
        return known

    def loss(at: Params, example: Batch) -> Tensor:
        return task.losses(at, {k: v.unsqueeze(0) for k, v in example.items()}).sum()

    one = torch.func.grad(loss)
    count = _count(task, batch)
    try:
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels for attention cannot be mapped
            grads = torch.func.vmap(one, in_dims=(None, 0))(fixed, batch)
    except RuntimeError as problem:  # a model that branches on values: one example after another
        if isinstance(problem, torch.OutOfMemoryError):
            raise
        each = [one(fixed, {k: v[i] for k, v in batch.items()}) for i in range(count)]
        grads = {name: torch.stack([g[name] for g in each]) for name in params}
    return torch.cat([g.reshape(count, -1) for g in grads.values()], dim=1)
