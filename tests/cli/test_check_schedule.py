"""`python -m experiments.check_schedule`: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import check_schedule, schedule_plane
from experiments.schedule_plane import Outcome, draw_plane
from experiments.theory.schedule_conditions import check
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

TORCH = "torch.optim.lr_scheduler"

Checked = Callable[..., Any]


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str]) -> Checked:
    """Runs the command; its exit code, output and errors."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = check_schedule.main(list(words))
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def found(checked: Checked) -> Callable[..., dict[str, Any]]:
    """Its report from JSON."""

    def call(*words: str) -> dict[str, Any]:
        code, out, err = checked(*words, "json=true")
        assert (code, err) == (0, "")
        report: dict[str, Any] = json.loads(out)
        return report

    return call


def verdicts(report: dict[str, Any]) -> list[list[bool]]:
    return [[item["passed"] for item in conditions["items"]] for conditions in report["conditions"]]


def test_the_table(checked: Checked) -> None:
    code, out, err = checked("alpha.s=0.5", "theta.r=0.75", "theta.c=0.01", "horizon=1e4")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    vanishing = next(row for row in rows if row[:3] == ["4", "D(T)", "->"])
    assert vanishing[4:7] == ["pass", "0.375", "0.375"]
    assert out.splitlines()[0] == (
        "alpha = power (s = 0.5); beta = constant (at = 0.9); theta = towards_one (r = 0.75, c = 0.01); "
        "horizon T = 10000"
    )
    assert "SC: sufficient condition of arXiv 2101.05471 [R]" in out
    assert out.splitlines()[-3:] == [
        "SC holds; the bound on the gradient falls like T^-0.375.",
        "AdaFom's conditions do not hold for all gradients (item b fails).",
        "Defossez et al.'s bound does not give convergence (items b and c fail).",
    ]


def test_failures_say_why(checked: Checked) -> None:
    out = checked("alpha=0.001", "beta=0.9", "theta=constant", "theta.at=0.999", "horizon=2000")[1]
    assert "4 D(T) -> 0                                     FAIL    0.000   0.000" in out
    assert "D(T) = 0.0316, which levels off at a plateau" in out
    assert "SC does not hold (item 4 fails), which need not mean divergence" in out


def test_json_is_the_report(found: Callable[..., dict[str, Any]]) -> None:
    report = found("alpha.s=0.3", "theta.r=1", "beta=constant", "beta.at=0.9", "horizon=1000")
    wanted = check(Power(s=0.3), Constant(at=0.9), TowardsOne(r=1.0), 1000).plain()
    assert report == json.loads(json.dumps(wanted))


def test_the_defaults_are_those_of_generic_adam(found: Callable[..., dict[str, Any]]) -> None:
    report = found("horizon=500")
    assert report == json.loads(json.dumps(check(Power(s=0.5), 0.9, TowardsOne(), 500).plain()))
    report = found("horizon=500", "beta.at=0.5")
    assert report == json.loads(json.dumps(check(Power(s=0.5), 0.5, TowardsOne(), 500).plain()))


def test_numbers_too_large_are_written(found: Callable[..., dict[str, Any]]) -> None:
    report = found("alpha=1e308", "horizon=1000")
    assert report["conditions"][1]["items"][2]["numbers"]["sum alpha_t"] is None


def test_files(found: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    t = np.arange(1, 301)
    for digits in (17, 8):
        (tmp_path / "alpha.txt").write_text("".join(f"{x:.{digits}g}\n" for x in t**-0.5))
        (tmp_path / "theta").write_text("\n".join(f"{x:.{digits}g}" for x in 1 - 1 / t) + "\n\n")
        report = found(f"alpha={tmp_path / 'alpha.txt'}", f"theta={tmp_path / 'theta'}")
        assert report["horizon"] == 300
        assert verdicts(report) == [[True] * 4, [True] * 3, [True] * 3]


def test_schedulers_of_torch(found: Callable[..., dict[str, Any]]) -> None:
    cosine = found(f"alpha={TORCH}.CosineAnnealingLR", "alpha.T_max=1000", "alpha.lr=0.1", "horizon=1001")
    assert verdicts(cosine)[0] == [True, True, True, False]
    assert cosine["conditions"][0]["items"][3]["numbers"]["D(T)"] is None
    steps = found(f"alpha={TORCH}.MultiStepLR", "alpha.milestones=[30, 80]", "alpha.gamma=1e-1", "horizon=400")
    assert verdicts(steps)[0] == [True] * 4
    cycle = found(f"alpha={TORCH}.OneCycleLR", "alpha.max_lr=0.1", "alpha.total_steps=200", "horizon=200")
    assert verdicts(cycle)[0] == [True, True, True, False]


def test_the_figure(checked: Checked, tmp_path: Path) -> None:
    code, out, _ = checked("theta.r=0.5", "horizon=500", f"figure={tmp_path / 'plane.pdf'}")
    assert code == 0
    assert "plane.pdf" in out
    assert sorted(path.name for path in tmp_path.glob("plane.*")) == ["plane.pdf", "plane.png", "plane.txt"]
    assert "r = 0.5, s = 0.5 (exact)" in (tmp_path / "plane.txt").read_text()
    assert (tmp_path / "plane.pdf").read_bytes().startswith(b"%PDF")
    checked(f"alpha={TORCH}.ExponentialLR", "alpha.gamma=1", "horizon=500", f"figure={tmp_path / 'plane.png'}")
    assert "r = 1, s = 0 (fitted at T = 500)" in (tmp_path / "plane.txt").read_text().replace("-0", "0")
    checked("horizon=500", f"figure={tmp_path / 'x.v1.png'}")
    assert sorted(path.name for path in tmp_path.glob("x*")) == ["x.v1.pdf", "x.v1.png", "x.v1.txt"]


def test_the_plane_with_measured_outcomes() -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    measured = [Outcome(0.25, 0.5, 0.9, False), Outcome(1.0, 0.5, -0.8, True)]
    drawn = draw_plane(axis, measured, [(0.5, 0.25)])
    assert drawn.get_array().tolist() == [0.9, -0.8]
    assert drawn.get_offsets().tolist() == [[0.5, 0.25], [0.5, 1.0]]
    assert draw_plane(axis) is None
    assert schedule_plane.limit(0.5, 1.0) == 0.5
    plt.close(figure)


def test_help(checked: Checked) -> None:
    code, out, err = checked("--help")
    assert (code, err) == (0, "")
    assert out.count("python -m experiments.check_schedule") == 3
    for word in ("alpha=", "beta=", "theta=", "horizon=", "json=true", "figure=", TORCH):
        assert word in out


def test_the_module_runs(process: Callable[..., Any]) -> None:
    ended = process("check_schedule", "horizon=100", "theta.r=2")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: theta.r must be at most 1.0, not 2.0\n"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["alpha=powr"], "there is no alpha 'powr': did you mean 'power'?"),
        (["alpha.z=1"], "alpha has no setting 'z' (alpha.z)"),
        (["alpha.s=x"], "alpha.s must be a number, not 'x'"),
        (["alpha.s=[1"], "alpha.s='[1' cannot be read"),
        (["alhpa=power"], "there is no option 'alhpa': did you mean 'alpha'?"),
        (["gamma.s=1"], "there is no option 'gamma.s'"),
        (["alpha"], "'alpha' is not an option: write key=value"),
        (["alpha="], "there is no alpha ''"),
        (["alpha=0.1", "alpha.s=1"], "alpha=0.1 has no settings: leave alpha.s= out"),
        (["alpha=power", "alpha=constant"], "alpha is given twice: leave one out"),
        (["alpha.s=1", "alpha.s=0.5"], "alpha.s is given twice: leave one out"),
        (["beta=constant"], "give beta.at"),
        (["alpha=-1"], "alpha is -1.0 at step 1, and must be finite and not negative"),
        (["alpha=nan"], "alpha must be a finite number, not nan"),
        (["beta=1"], "beta is 1.0 at step 1, and must be at least 0 and less than 1"),
        (["theta=1.5"], "theta is 1.5 at step 1"),
        (["horizon=99"], "horizon must be at least 100, not 99"),
        (["horizon=1e9"], "horizon must be at most 100000000"),
        (["horizon=many"], "horizon must be a whole number, not 'many'"),
        (["horizon="], "horizon= has no value: give one, or leave horizon= out"),
        (["json="], "json= has no value: give one"),
        (["json=maybe"], "json must be true or false, not 'maybe'"),
        (["figure=plane.svg"], "figure=plane.svg must end in .pdf or .png"),
        (["figure=nowhere/plane.pdf"], "make nowhere first"),
        (["alpha=missing.txt"], "missing.txt cannot be used: No such file or directory"),
        (["alpha=empty.txt"], "empty.txt is empty"),
        (["alpha=words.txt"], "line 2 of words.txt is 'x', and must be one number"),
        (["alpha=bytes.txt"], "bytes.txt is no text"),
        (["alpha=short.txt"], "horizon must be at least 100, not 3"),
        (["alpha=short.txt", "horizon=100"], "alpha has 3 numbers, and horizon=100 needs as many steps"),
        (["alpha=torch.optim.SGD"], f"alpha=torch.optim.SGD is not allowed: name a class of {TORCH}"),
        ([f"alpha={TORCH}.StepLRR"], "did you mean 'StepLR'?"),
        ([f"alpha={TORCH}.StepLR"], "needs alpha.step_size="),
        ([f"alpha={TORCH}.StepLR", "alpha.step_sizes=3"], "no argument 'step_sizes' (alpha.step_sizes): did you mean"),
        ([f"alpha={TORCH}.StepLR", "alpha.step_size=0"], "alpha cannot be found at step 2"),
        ([f"alpha={TORCH}.StepLR", "alpha.step_size=9", "alpha.lr=-1"], "alpha.lr must be at least 0.0, not -1.0"),
        ([f"alpha={TORCH}.LambdaLR"], "cannot be used here: it needs a function"),
        ([f"alpha={TORCH}.ReduceLROnPlateau"], "cannot be used here: it follows a loss"),
        ([f"alpha={TORCH}.PolynomialLR", "alpha.total_iters=x"], "alpha cannot be found at step"),
    ],
)
def test_what_is_refused(checked: Checked, words: list[str], wanted: str) -> None:
    Path("empty.txt").write_text("\n")
    Path("words.txt").write_text("1\nx\n")
    Path("short.txt").write_text("1\n2\n3\n")
    Path("bytes.txt").write_bytes(b"\xff\xfe\x00")
    code, out, err = checked(*words)
    assert (code, out) == (2, "")
    assert wanted in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(Path().glob("plane.*"))
