"""More processes than examples are refused."""

import pytest

from experiments import distributed
from experiments.distributed import World
from optim.settings import SettingError


@pytest.mark.parametrize(("size", "examples"), [(3, 100), (None, 3), (5, None), (None, None), (64, 3)])
def test_enough_examples(size: int | None, examples: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_world", World(1, 3))
    distributed.refuse_idle(size, examples)


def test_one_process_has_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_world", distributed.ALONE)
    distributed.refuse_idle(1, 1)


@pytest.mark.parametrize(
    ("size", "examples", "sentence"),
    [
        (2, 100, "batches of 2 leave some of 3 processes without an example: start at most 2 processes, or use batch"),
        (1, None, "batches of 1 leave some of 3 processes"),
        (2, 2, "the data have 2 examples for 3 processes: start at most 2 processes"),
        (None, 1, "the data have 1 examples for 3 processes"),
    ],
)  # fmt: skip
def test_too_few_examples(
    size: int | None, examples: int | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "_world", World(0, 3))
    with pytest.raises(SettingError, match=sentence):
        distributed.refuse_idle(size, examples)
