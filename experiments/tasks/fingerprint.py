"""A digest of what a Python object would compute: its values and the code that uses them.

What cannot be looked into gets a digest of its own every time, so that two different things never pass for one.
"""

import hashlib
import types
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

Seen = dict[int, tuple[int, Any]]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


def fingerprint(thing: Any) -> str:
    """SHA-256 (hex) of an object: numbers, tensors, containers, functions with what they close over, modules."""
    total = hashlib.sha256()
    _add(total, thing, {})
    return total.hexdigest()


def _add(total: Any, thing: Any, seen: Seen) -> None:
    def tell(*words: Any) -> None:
        total.update(("\0".join(map(str, words)) + "\0").encode())

    if isinstance(thing, _PLAIN):
        tell(type(thing).__name__, repr(thing))
        return
    if id(thing) in seen:
        tell("again", seen[id(thing)][0])
        return
    seen[id(thing)] = len(seen), thing  # kept alive, so that no other object gets its id
    if isinstance(thing, Tensor | np.ndarray):
        trained = isinstance(thing, Tensor) and thing.requires_grad
        array = thing.detach().cpu().contiguous() if isinstance(thing, Tensor) else torch.from_numpy(thing.copy())
        tell("tensor", array.dtype, tuple(array.shape), trained)
        total.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(thing, Mapping):
        tell("mapping", len(thing))
        for key, value in thing.items():
            _add(total, key, seen)
            _add(total, value, seen)
    elif isinstance(thing, list | tuple):
        tell(type(thing).__name__, len(thing))
        for item in thing:
            _add(total, item, seen)
    elif isinstance(thing, set | frozenset):
        tell("set", *sorted(map(repr, thing)))
    elif isinstance(thing, types.FunctionType):
        _add_function(total, thing, seen)
    elif isinstance(thing, types.MethodType):
        _add(total, [thing.__func__, thing.__self__], seen)
    elif isinstance(thing, partial):
        _add(total, ["partial", thing.func, list(thing.args), thing.keywords], seen)
    elif isinstance(thing, types.BuiltinFunctionType | types.ModuleType):
        tell("named", getattr(thing, "__module__", ""), thing.__name__)
    elif isinstance(thing, type):
        _add_class(total, thing, seen)
    elif hasattr(thing, "__dict__"):  # modules and other objects
        _add_class(total, type(thing), seen)
        _add(total, {k: v for k, v in vars(thing).items() if k not in _CHANGING}, seen)
    else:
        tell("unknown", uuid.uuid4())


_CHANGING = {"_is_full_backward_hook", "_non_persistent_buffers_set"}


def _add_function(total: Any, function: types.FunctionType, seen: Seen) -> None:
    """Its code, its defaults, what it closes over and the global values it names."""
    code = function.__code__
    names = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    _add(total, ["function", *_code(code), function.__defaults__, function.__kwdefaults__, cells, names], seen)


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return [code.co_code, constants, list(code.co_names), list(code.co_varnames)]


def _add_class(total: Any, cls: type, seen: Seen) -> None:
    """The names of the class and its bases; the methods too of those that are not torch's or Python's own."""
    for base in cls.__mro__:
        _add(total, f"{base.__module__}.{base.__qualname__}", seen)
        if base.__module__.partition(".")[0] not in ("builtins", "torch", "typing", "abc", "collections", "functools"):
            functions = {k: v for k, v in vars(base).items() if isinstance(v, types.FunctionType)}
            _add(total, functions, seen)
