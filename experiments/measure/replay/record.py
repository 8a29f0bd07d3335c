"""Records a linear function of tensors, so that it can be replayed quickly: see `linear_map.py`."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.measure.replay.call import SUMS, Call, Value, aten, flat
from experiments.measure.replay.linear_map import LinearMap

_VIEWS = {aten.view.default, aten._unsafe_view.default}
_SAME = {aten.detach.default, aten.alias.default, aten.expand.default}  # the same values, if the shape is the same
_OF_THE_SHAPE = {aten.zeros_like.default, aten.ones_like.default, aten.new_zeros.default, aten.new_ones.default}


class Unrecordable(Exception):
    """The function does something that cannot be replayed. That is no fault of it: it can still be called."""


def record(
    function: Callable[[list[Tensor]], Sequence[Tensor]], inputs: Sequence[Tensor]
) -> tuple[list[Tensor], LinearMap]:
    """`function(inputs)`, which must be linear, and the function for replay; raises Unrecordable if there is none."""
    inputs = [t.detach().clone() for t in inputs]
    recorder = _Recorder(inputs)
    with recorder:
        outputs = list(function(list(inputs)))
    recorder.refuse_stale(outputs)
    recorder.refuse_changed()
    values = [recorder.value(t) for t in inputs]
    replay = LinearMap(values, [recorder.value(t) for t in outputs], recorder.calls)
    recorder.forget()
    for t in outputs:
        t.__dict__.pop("recorded", None)
    return outputs, replay


class _Recorder(TorchDispatchMode):
    """Notes the operations that depend on the inputs; all others are constants. Writing in place makes a new value."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; to say so would import the compiler, a second

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: list[Tensor] = []  # those written to, so that no storage is taken for another one
        for t in inputs:
            t.recorded = (self, Value(t))  # type: ignore[attr-defined]  # a mark that lives as long as the tensor
        self.calls: list[Call] = []
        self.constants: list[tuple[Tensor, int]] = []  # with their versions when they were used
        self.shown: dict[int, set[int]] = {}  # by storage written to: the tensors known to show what it holds now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.shown:
            self.refuse_stale(args)
        call = Call(func, [self._swapped(a) for a in args], kwargs)
        if any(isinstance(self.value(v), Value) for v in kwargs.values()):
            raise Unrecordable(f"{func} takes a tensor by name")
        if not call.inputs or func in _OF_THE_SHAPE:
            return func(*args, **kwargs)
        if func is aten.as_strided.default:
            raise Unrecordable("as_strided depends on how its argument lies in memory")
        if func._schema.is_mutable:
            call.function = self._twin(func)
            if isinstance(call.args[0], Tensor):  # a constant until now: keep what it was
                call.args = [args[0].clone(), *call.args[1:]]
        self.constants += [(a, a._version) for a in flat(call.args) if isinstance(a, Tensor)]
        result = func(*args, **kwargs)
        if func._schema.is_mutable:
            self.alive.append(result)
            self.shown[result.untyped_storage()._cdata] = set()
        if isinstance(result, Tensor) and (known := _known(call, result)) is not None:
            self._remember(result, known)
            return result
        call.several = isinstance(result, tuple | list)
        for t in result if call.several else [result]:
            self._note(call, t)
        self.calls.append(call)
        return result

    def _swapped(self, argument: Any) -> Any:
        return [self.value(a) for a in argument] if isinstance(argument, list | tuple) else self.value(argument)

    def value(self, argument: Any) -> Any:
        """The value that a tensor stands for if it depends on the inputs; anything else as it is."""
        recorder, value = getattr(argument, "recorded", (None, None)) if isinstance(argument, Tensor) else (None, None)
        return value if recorder is self else argument

    def _twin(self, func: Any) -> Any:
        """The operation that returns what this one writes over its first argument."""
        name, _, overload = str(func).removeprefix("aten.").rpartition(".")
        written = [a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments]
        twin = getattr(getattr(aten, name.removesuffix("_"), None), overload, None)
        if twin is None or not name.endswith("_") or written != [True] + [False] * (len(written) - 1):
            raise Unrecordable(f"{func} writes to its arguments")
        return twin

    def _note(self, call: Call, result: Any) -> None:
        if result is None:
            call.outputs.append(None)
            return
        if not isinstance(result, Tensor):
            raise Unrecordable(f"{call.function} takes a number out of a tensor")
        value = Value(result, call)
        call.outputs.append(value)
        self._remember(result, value)

    def _remember(self, tensor: Tensor, value: Value) -> None:
        tensor.recorded = (self, value)  # type: ignore[attr-defined]
        if self.shown and (shown := self.shown.get(tensor.untyped_storage()._cdata)) is not None:
            shown.add(id(tensor))

    def refuse_stale(self, arguments: Sequence[Any]) -> None:
        """Raise Unrecordable if one shares memory that was written to through another one."""
        for t in flat(arguments):
            if isinstance(t, Tensor):
                shown = self.shown.get(t.untyped_storage()._cdata)
                if shown is not None and id(t) not in shown:
                    raise Unrecordable("a tensor is used after another view of it was written to")

    def forget(self) -> None:
        """Let go of every tensor, now and not when garbage is collected."""
        for call in self.calls:
            call.args, call.inputs, call.outputs = [], [], []
        self.calls, self.constants, self.alive = [], [], []

    def refuse_changed(self) -> None:
        """Raise Unrecordable if a constant was written to after it was used."""
        if any(t._version != version for t, version in self.constants):
            raise Unrecordable("a constant is written to after it was used")


def _known(call: Call, result: Tensor) -> Value | None:
    """The earlier value that the result is equal to; and of views of views, only the last is kept."""
    source = call.args[0]
    if not isinstance(source, Value):
        return None
    before = source.call
    if call.function is aten.t.default and before is not None and before.function is aten.t.default:
        return before.args[0]  # type: ignore[no-any-return]
    if call.function in _VIEWS and before is not None and before.function in _VIEWS:
        source = call.args[0] = before.args[0]
        call.inputs = [source]
    same = call.function in _VIEWS or call.function in _SAME or _adds_zero(call)
    return source if same and source.shape == result.shape and source.dtype == result.dtype else None


def _adds_zero(call: Call) -> bool:
    added = call.args[1] if call.function in SUMS else None
    return isinstance(added, Tensor) and not added.any()
