"""How a function of one tensor is mapped over the named tensors of a model and over lanes.

A part that acts on "coordinates" is called once for all lanes, one that acts on "tensors" or on the "vector" of all
parameters is mapped over them.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
Hyper = Mapping[str, Any]
State = dict[str, Tensors]
ActsOn = Literal["coordinates", "tensors", "vector"]


def view(acts_on: ActsOn, tensors: Tensors, lanes: int | None) -> Tensors:
    """The tensors as a part looks at them: by name, or all together as {"": flat}, (D,) or (lanes, D)."""
    if acts_on != "vector":
        return tensors
    flat = [t.reshape(-1) if lanes is None else t.reshape(lanes, -1) for t in tensors.values()]
    return {"": flat[0] if len(flat) == 1 else torch.cat(flat, dim=-1)}


def unview(acts_on: ActsOn, viewed: Tensors, like: Tensors, lanes: int | None) -> Tensors:
    """Undo `view`: tensors with the names and shapes of `like`."""
    if acts_on != "vector":
        return viewed
    sizes = [t.numel() // (lanes or 1) for t in like.values()]
    parts = viewed[""].split(sizes, dim=-1)
    return {name: part.reshape(t.shape) for part, (name, t) in zip(parts, like.items(), strict=True)}


def over_lanes(acts_on: ActsOn, function: Any, tensors: tuple[Any, ...], values: Hyper, lanes: int | None) -> Any:
    """Call `function(*tensors, values)` for every lane at once.

    `tensors` may hold dicts of tensors; the last one is the parameter, whose type the values are cast to.
    """
    like = tensors[-1]
    if lanes is None or acts_on == "coordinates":
        shape = (-1,) + (1,) * (like.dim() - 1)
        return function(*tensors, {k: _fit(v, like, shape) for k, v in values.items()})
    cast = {k: _fit(v, like, (-1,)) for k, v in values.items()}
    if lanes == 1:  # a mapped single lane costs six times more
        one = {k: v[0] if isinstance(v, Tensor) and v.dim() else v for k, v in cast.items()}
        return _lift(function(*(_first(t) for t in tensors), one))
    mapped = {k: v for k, v in cast.items() if isinstance(v, Tensor) and v.dim()}
    fixed = {k: v for k, v in cast.items() if k not in mapped}
    result = torch.vmap(lambda args, h: function(*args, {**fixed, **h}))(tensors, mapped)
    return torch.utils._pytree.tree_map(lambda t: t.contiguous(), result)


def _fit(value: Any, like: Tensor, shape: tuple[int, ...]) -> Any:
    """A coefficient in the type of the parameters; one value per lane becomes a column that broadcasts."""
    if not isinstance(value, Tensor):
        return value
    value = value.to(device=like.device, dtype=like.dtype)
    return value.reshape(shape) if value.dim() == 1 else value


def _first(tree: Any) -> Any:
    return {k: v[0] for k, v in tree.items()} if isinstance(tree, dict) else tree[0]


def _lift(tree: Any) -> Any:
    if isinstance(tree, tuple):
        return tuple(_lift(item) for item in tree)
    return {k: v[None] for k, v in tree.items()} if isinstance(tree, dict) else tree[None]
