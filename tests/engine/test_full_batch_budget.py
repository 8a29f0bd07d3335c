"""A full batch is never cut: its budget of examples is spent in whole passes."""

from pathlib import Path

import pytest

from experiments import api
from optim.settings import SettingError


def test_a_budget_is_spent_in_whole_passes(tmp_path: Path) -> None:
    words = ["optimizer=sgd", "batch_size=full", "dtype=float64", f"store={tmp_path}"]
    (by_examples,) = api.run([*words, "budget.examples=1300"])  # 2.28 passes over 569 examples
    (by_steps,) = api.run([*words, "budget.steps=2"])
    assert by_examples.metrics == by_steps.metrics
    assert by_examples.metrics["batch_size"] == 569
    table = api.load_runs(tmp_path)
    assert set(table.groupby("run").examples.max()) == {2 * 569}


def test_less_than_one_pass_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"budget\.examples=568 is less than one full batch of 569 examples"):
        api.run(["batch_size=full", "budget.examples=568", f"store={tmp_path}"])
