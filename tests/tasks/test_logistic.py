"""Logistic regression against numpy's formula, autograd and scipy's minimiser."""

import math
import os

import numpy as np
import pytest
import torch
from scipy import optimize, sparse
from scipy.special import expit
from sklearn.datasets import dump_svmlight_file, load_breast_cancer

import data
from data import cache
from experiments.tasks import binary_logistic, optima
from experiments.tasks.logistic import LogisticRegression
from optim.settings import SettingError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    monkeypatch.setattr(optima, "CACHE", tmp_path / "optima")


@pytest.fixture
def write(tmp_path):
    """Writes rows and labels in LIBSVM format; gives the path."""
    written = []

    def _write(rows, labels):
        path = tmp_path / f"own-{len(written)}.txt"
        dump_svmlight_file(np.asarray(rows, dtype=float), labels, str(path), zero_based=False)
        written.append(path)
        return str(path)

    return _write


def small(seed=0, n=37, d=5):
    """Rows of different scales, some exact zeros, and noisy labels 0 and 1: no direction separates them."""
    source = np.random.default_rng(seed)
    rows = source.normal(size=(n, d)) * 10.0 ** np.arange(-1, d - 1)[None, :] / 10
    rows[source.random((n, d)) < 0.2] = 0.0
    rows[-1, -1] = 1.5
    labels = (rows @ source.normal(size=d) + source.normal(size=n) > 0).astype(float)
    labels[:6] = 1 - labels[:6]
    return rows, labels


def ready(dtype=torch.float64, **values):
    task = LogisticRegression(**values)
    task.prepare(CPU, dtype)
    return task


def ranged(rows):
    low, high = rows.min(axis=0), rows.max(axis=0)
    return 2 * (rows - low) / (high - low) - 1


def reference(signed, w, l2=0.0):
    """Losses by example, and the gradient of their mean."""
    losses = np.logaddexp(0, -(signed @ w)) + l2 / 2 * (w @ w)
    return losses, -(signed.T @ expit(-(signed @ w))) / len(signed) + l2 * w


def points(count, d, seed=1):
    source = np.random.default_rng(seed)
    return source.normal(size=(count, d)) * 10.0 ** source.uniform(-3, 1, size=(count, 1))


def close(actual, expected, rtol=1e-12, atol=1e-14):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# Data -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["none", "range"])
def test_the_bundled_set(scale):
    rows, labels = load_breast_cancer(return_X_y=True)
    signed = (ranged(rows) if scale == "range" else rows) * np.where(labels == 1, 1.0, -1.0)[:, None]
    task = ready(data="sklearn/breast_cancer", scale=scale)
    assert task.size == 569
    close(task.batch(None)["rows"], signed)
    start = task.init(torch.Generator().manual_seed(5))
    assert start.keys() == {"weight"}
    assert torch.equal(start["weight"], torch.zeros(30, dtype=torch.float64))
    some = torch.tensor([3, 568, 3, 0])
    close(task.batch(some)["rows"], signed[some])
    groups = torch.tensor([[3, 568, 3], [1, 2, 0]])
    close(task.batch(groups)["rows"], signed[groups.numpy()])


@pytest.mark.parametrize("names", [(0, 1), (-1, 1), (1, 2), (-3, -7), (7, 0.5)], ids=str)
def test_the_larger_label_is_plus_one(write, names):
    rows, labels = small()
    task = ready(path=write(rows, np.where(labels == 1, max(names), min(names))))
    close(task.batch(None)["rows"], rows * np.where(labels == 1, 1.0, -1.0)[:, None])


def test_stated_features_pad_with_zeros_and_range_leaves_them_zero(write):
    rows, labels = small()
    path = write(rows, labels)
    sign = np.where(labels == 1, 1.0, -1.0)[:, None]
    assert ready(path=path).init()["weight"].shape == (5,)
    wide = ready(path=path, features=8)
    close(wide.batch(None)["rows"], np.hstack([rows, np.zeros((37, 3))]) * sign)
    scaled = ready(path=path, features=8, scale="range")
    close(scaled.batch(None)["rows"], np.hstack([ranged(rows), np.zeros((37, 3))]) * sign)
    with pytest.raises(data.DataError, match="4"):
        ready(path=path, features=4)


def test_settings_that_do_not_go_together(write):
    rows, labels = small()
    path = write(rows, labels)
    with pytest.raises(SettingError, match=r"either task\.data .* or task\.path"):
        LogisticRegression()
    with pytest.raises(SettingError, match=r"either task\.data .* or task\.path"):
        LogisticRegression(data="sklearn/breast_cancer", path=path)
    with pytest.raises(SettingError, match=r"task\.features belongs to task\.path"):
        LogisticRegression(data="sklearn/breast_cancer", features=30)


@pytest.mark.parametrize(("labels", "count"), [([1.0] * 37, 1), ([0.0, 1.0, 2.0] * 12 + [0.0], 3)])
def test_two_classes_are_needed(write, labels, count):
    with pytest.raises(SettingError, match=rf"needs two classes, and own-0\.txt has {count}"):
        ready(path=write(small()[0], np.array(labels)))


def test_the_identity_depends_on_the_text_and_not_on_its_place(write):
    rows, labels = small()
    first, same, other = write(rows, labels), write(rows, labels), write(rows, 1 - labels)
    contents = [LogisticRegression(path=path).content() for path in (first, same, other)]
    assert contents[0] == contents[1] != contents[2]
    assert LogisticRegression(path=first, features=9).content() != contents[0]


# Losses and gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_losses_equal_the_formula(write, l2):
    rows, labels = small()
    signed = rows * np.where(labels == 1, 1.0, -1.0)[:, None]
    task = ready(path=write(rows, labels), l2=l2)
    draws = np.array([4, 0, 36, 4, 11])
    for w in points(20, 5):
        for chosen, batch in ((signed, task.batch(None)), (signed[draws], task.batch(torch.tensor(draws)))):
            close(task.losses({"weight": torch.tensor(w)}, batch), reference(chosen, w, l2)[0], rtol=1e-13, atol=0)


MARGINS = np.array(
    [
        -1e4,
        -750.0,
        -100.0,
        -40.1,
        -39.9,
        -20.1,
        -19.9,
        -1.0,
        -1e-9,
        0.0,
        1e-9,
        1.0,
        19.9,
        20.1,
        36.8,
        39.9,
        40.1,
        700.0,
        1e4,
    ]
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_huge_margins(write, dtype):
    """One feature, so that w = 1 gives the rows as margins: no overflow, and full precision where torch switches."""
    task = ready(dtype, path=write(MARGINS[:, None], np.r_[0.0, np.ones(len(MARGINS) - 1)]), features=1)
    margins = np.r_[1e4, MARGINS[1:]]  # the first label is -1
    margins = margins.astype(np.float32).astype(float) if dtype == torch.float32 else margins
    expected, _ = reference(margins[:, None], np.ones(1))
    rtol = 1e-14 if dtype == torch.float64 else 2e-7
    w = torch.ones(1, dtype=dtype)
    losses = task.losses({"weight": w}, task.batch(None))
    lane_losses, grads = task.lane_gradient({"weight": torch.stack([w, -w])}, task.batch(None))
    assert losses.dtype == lane_losses.dtype == grads["weight"].dtype == dtype
    tiny = 1e-44 if dtype == torch.float32 else 5e-324
    close(losses.double(), expected, rtol=rtol, atol=tiny)
    close(lane_losses[0].double(), expected, rtol=rtol, atol=tiny)
    mirrored, slopes = reference(-margins[:, None], np.ones(1))
    close(lane_losses[1].double(), mirrored, rtol=rtol, atol=tiny)
    close(grads["weight"].double()[0], reference(margins[:, None], np.ones(1))[1], rtol=10 * rtol)
    close(grads["weight"].double()[1], -slopes, rtol=10 * rtol)
    evaluated = task.evaluate({"weight": torch.stack([w, -w])}, lanes=2)["loss"]
    close(evaluated.double(), [expected.mean(), mirrored.mean()], rtol=10 * rtol)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize(("groups", "lanes"), [(1, 1), (1, 5), (1, 4), (2, 4), (3, 3), (2, 6), (5, 5)])
@pytest.mark.parametrize("size", [1, 5, 12])
def test_lane_gradient_equals_autograd_and_numpy(write, l2, groups, lanes, size):
    """Also where the number of lanes equals that of features, examples or groups."""
    rows, labels = small()
    signed = rows * np.where(labels == 1, 1.0, -1.0)[:, None]
    task = ready(path=write(rows, labels), l2=l2)
    draws = torch.randint(37, (groups, size), generator=torch.Generator().manual_seed(3))
    weight = torch.tensor(points(lanes, 5))
    before = weight.clone(), task.batch(None)["rows"].clone()
    batch = task.batch(draws[0] if groups == 1 else draws)
    losses, grads = task.lane_gradient({"weight": weight}, batch)
    assert losses.shape == (lanes, size)
    assert grads.keys() == {"weight"}
    for lane in range(lanes):
        own = draws[lane * groups // lanes]
        expected, slope = reference(signed[own.numpy()], weight[lane].numpy(), l2)
        close(losses[lane], expected, rtol=1e-12)
        close(grads["weight"][lane], slope, rtol=1e-11, atol=1e-13)
        chosen = task.batch(own)
        by_autograd = torch.func.grad(lambda w, chosen=chosen: task.losses({"weight": w}, chosen).mean())(weight[lane])
        close(losses[lane], task.losses({"weight": weight[lane]}, chosen), rtol=1e-12)
        close(grads["weight"][lane], by_autograd, rtol=1e-11, atol=1e-13)
    assert torch.equal(weight, before[0])
    assert torch.equal(task.batch(None)["rows"], before[1])


def test_losses_under_vmap_and_second_derivatives(write):
    rows, labels = small()
    signed = rows * np.where(labels == 1, 1.0, -1.0)[:, None]
    task = ready(path=write(rows, labels), l2=0.3)
    w = torch.tensor(points(1, 5)[0] * 0.1)
    slope = torch.func.grad(lambda v: task.losses({"weight": v}, task.batch(None)).mean())
    hessian = torch.func.jacrev(slope)(w)
    p = expit(signed @ w.numpy())
    close(hessian, (signed.T * (p * (1 - p))) @ signed / 37 + 0.3 * np.eye(5), rtol=1e-10)


# Evaluation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("at_once", [8192, 10, 37, 1])
def test_evaluation_is_the_mean_of_the_losses_with_and_without_lanes(write, monkeypatch, l2, at_once):
    monkeypatch.setattr("experiments.tasks.rows._AT_ONCE", at_once)
    rows, labels = small()
    task = ready(path=write(rows, labels), l2=l2)
    many = points(5, 5)
    lanes = task.evaluate({"weight": torch.tensor(many)}, lanes=5)
    assert all(v.shape == (5,) for v in lanes.values())
    for lane, w in enumerate(many):
        alone = task.evaluate({"weight": torch.tensor(w)})
        assert all(v.shape == () for v in alone.values())
        right = ((rows @ w > 0) == (labels == 1))[rows @ w != 0].sum() / 37
        for numbers in ({k: v[lane] for k, v in lanes.items()}, alone):
            close(numbers["loss"], task.losses({"weight": torch.tensor(w)}, task.batch(None)).mean())
            assert numbers["accuracy"] == right
    one = task.evaluate({"weight": torch.tensor(many[:1])}, lanes=1)
    assert one["loss"].shape == (1,)


def test_the_loss_is_summed_in_float64(write):
    """100,000 equal losses in float32."""
    path = write(np.ones((100_000, 1)), np.r_[np.zeros(1), np.ones(99_999)])
    task = ready(torch.float32, path=path)
    loss = task.evaluate({"weight": torch.zeros(1)})["loss"]
    assert loss.dtype == torch.float64
    assert float(loss) == pytest.approx(math.log(2), rel=1e-8)


# The optimum ----------------------------------------------------------------------------------------------------------


def minimum(signed, l2):
    """By scipy's trust-region Newton method."""

    def hessian(w):
        p = expit(signed @ w)
        return (signed.T * (p * (1 - p))) @ signed / len(signed) + l2 * np.eye(len(w))

    def value(w):
        losses, slope = reference(signed, w, l2)
        return losses.mean(), slope

    options = {"gtol": 1e-13, "maxiter": 10_000}
    return optimize.minimize(
        value, np.zeros(signed.shape[1]), jac=True, hess=hessian, method="trust-exact", options=options
    ).fun


@pytest.mark.parametrize("l2", [1e-4, 0.3])
def test_the_optimum_with_l2_equals_scipys(write, l2):
    rows, labels = small()
    sign = np.where(labels == 1, 1.0, -1.0)[:, None]
    assert ready(path=write(rows, labels), l2=l2).optimum == pytest.approx(minimum(rows * sign, l2), rel=1e-12)
    rows, labels = load_breast_cancer(return_X_y=True)
    signed = ranged(rows) * np.where(labels == 1, 1.0, -1.0)[:, None]
    task = ready(data="sklearn/breast_cancer", scale="range", l2=l2)
    assert task.optimum == pytest.approx(minimum(signed, l2), rel=1e-11)
    assert task.describe()["optimum_is_attained"] is True


def test_settings_give_optima_of_their_own(write):
    rows, labels = small()
    first, second = write(rows, labels), write(2 * rows, labels)
    found = {
        ready(path=path, features=features, scale=scale, l2=l2).optimum
        for path in (first, second)
        for features in (None, 9)
        for scale in ("none", "range")
        for l2 in (0.0, 0.1, 0.2)
    }
    # Zero columns change no optimum, nor does a factor without l2 or where columns are scaled to their range.
    assert len({round(v, 9) for v in found}) == 2 * 1 + 2 * 2 + 2


@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_the_optimum_is_below_every_evaluated_loss(l2):
    task = ready(data="sklearn/breast_cancer", scale="range", l2=l2)
    best = task.optimum
    minimiser = task.minimum().point
    assert minimiser is not None
    at_minimum = float(task.evaluate({"weight": torch.tensor(minimiser)})["loss"])
    assert at_minimum == pytest.approx(best, rel=1e-12)
    near = minimiser + np.random.default_rng(0).normal(size=(200, 30)) * 10.0 ** np.linspace(-6, 2, 200)[:, None]
    for many in (near, points(200, 30)):
        losses = task.evaluate({"weight": torch.tensor(many)}, lanes=200)["loss"]
        assert (losses >= best * (1 - 1e-13)).all()


def test_whether_the_optimum_is_attained_is_reported(write):
    rows, labels = small()
    attained = ready(path=write(rows, labels)).describe()
    assert attained["optimum_is_attained"] is True
    assert attained["examples"] == 37
    assert attained["dimension"] == 5
    assert attained["optimum"] == pytest.approx(
        minimum(rows * np.where(labels == 1, 1.0, -1.0)[:, None], 0.0), rel=1e-10
    )
    assert attained["optimum_gradient_norm"] < 1e-10
    separable = ready(path=write(rows, (rows @ np.arange(1.0, 6.0) > 0).astype(float))).describe()
    assert separable["optimum_is_attained"] is False
    assert separable["optimum"] == 0.0
    # With l2 every optimum is attained.
    assert ready(path=write(rows, (rows @ np.arange(1.0, 6.0) > 0).astype(float)), l2=0.1).describe()[
        "optimum_is_attained"
    ]


def test_the_optimum_is_found_once_and_survives_a_damaged_cache(write, monkeypatch):
    rows, labels = small()
    path, calls = write(rows, labels), []
    solve = binary_logistic.minimise_logistic
    monkeypatch.setattr(binary_logistic, "minimise_logistic", lambda *a: calls.append(1) or solve(*a))
    first = ready(path=path, l2=0.1).minimum()
    again = ready(path=path, l2=0.1).minimum()
    assert len(calls) == 1
    assert (again.value, again.finite, again.gradient_norm) == (first.value, first.finite, first.gradient_norm)
    assert np.array_equal(again.point, first.point)
    (kept,) = optima.CACHE.iterdir()
    for damage in ("", "{", "{}", "[]", '{"value": 1}', "null"):
        kept.write_text(damage)
        assert ready(path=path, l2=0.1).optimum == first.value
    assert len(calls) == 7


# Types and memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_data_and_start_have_the_type_asked_for(write, dtype):
    task = ready(dtype, path=write(*small()))
    assert task.batch(None)["rows"].dtype == task.init()["weight"].dtype == dtype


def test_a_task_whose_data_were_dropped_reads_them_again_as_they_were(write):
    """Only the tasks used last keep their data in memory; nobody should notice."""
    rows, labels = small()
    first = ready(torch.float32, path=write(rows, labels))
    before = first.batch(None)["rows"].clone()
    others = [ready(torch.float32, path=write(rows * k, labels)) for k in range(2, 9)]
    after = first.batch(None)["rows"]
    assert after.dtype == before.dtype
    assert torch.equal(after, before)
    assert others[0].size == 37


def test_a9a():
    if "DATA_DIR" not in os.environ:
        pytest.skip("the environment variable DATA_DIR is not set: no real data files to check")
    loaded = data.load("libsvm/a9a")
    signed = sparse.csr_array(loaded.inputs) * np.where(loaded.targets > 0, 1.0, -1.0)[:, None]
    task = ready(data="libsvm/a9a", l2=1e-3)
    assert task.size == 32_561
    w = points(3, 123)
    expected = [np.logaddexp(0, -(signed @ v)).mean() + 5e-4 * (v @ v) for v in w]
    close(task.evaluate({"weight": torch.tensor(w)}, lanes=3)["loss"], expected)
