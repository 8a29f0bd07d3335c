"""Sparse and multi-class logistic regression: against numpy, against autograd, dense against sparse, lane by lane."""

import os

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import dump_svmlight_file
from sklearn.linear_model import LogisticRegression as InSklearn

from data import cache
from experiments import api, config, measure
from experiments.gradients import STRATEGIES
from experiments.tasks import optima, rows
from experiments.tasks.linear import LinearTask
from experiments.tasks.logistic import LogisticRegression
from experiments.tasks.multiclass import MulticlassLogistic
from optim.settings import SettingError

CPU = torch.device("cpu")
REAL = os.environ.get("DATA_DIR")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    monkeypatch.setattr(optima, "CACHE", tmp_path / "optima")


@pytest.fixture(params=[2, 4], ids=["binary", "classes"])
def problem(request, tmp_path):
    """A path, rows (60, 40) of which most entries are zero, and labels; some rows and columns are empty."""
    source = np.random.default_rng(request.param)
    inputs = source.normal(size=(60, 40)) * (source.random((60, 40)) < 0.12)
    inputs[[3, 17]] = 0.0
    inputs[:, [5, 39]] = 0.0
    labels = source.integers(request.param, size=60).astype(float)
    path = tmp_path / "thin.txt"
    dump_svmlight_file(inputs, labels, str(path), zero_based=False)
    return str(path), inputs, labels


def ready(path, labels, **values):
    cls = LogisticRegression if len(np.unique(labels)) == 2 else MulticlassLogistic
    task = cls(path=path, features=40, **values)
    task.prepare(CPU, torch.float64)
    return task


def in_numpy(weight, inputs, labels, l2):
    """Losses and the gradient of their mean; weight (K, d), or (d,) for two classes."""
    if weight.ndim == 1:
        signs = np.where(labels == labels.max(), 1.0, -1.0)
        margins = signs * (inputs @ weight)
        losses, slopes = np.log1p(np.exp(-margins)), -signs / (1 + np.exp(margins))
        grad = inputs.T @ slopes / len(inputs)
    else:
        outputs = inputs @ weight.T
        shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        hot = np.eye(len(weight))[labels.astype(int)]
        losses, grad = -np.log((shares * hot).sum(axis=1)), (shares - hot).T @ inputs / len(inputs)
    return losses + l2 / 2 * (weight**2).sum(), grad + l2 * weight


def draw(task, lanes, seed=0):
    shape = task.init()["weight"].shape
    return {"weight": torch.randn(lanes, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)}


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("groups", "lanes"), [(1, 1), (1, 3), (2, 4), (3, 3)])
def test_losses_and_gradients_equal_numpy(problem, storage, l2, intercept, groups, lanes):
    path, inputs, labels = problem
    task = ready(path, labels, storage=storage, l2=l2, intercept=intercept)
    if intercept:
        inputs = np.hstack([inputs, np.ones((60, 1))])
    params = draw(task, lanes)
    draws = torch.randint(60, (groups, 9), generator=torch.Generator().manual_seed(1))
    batch = task.batch(draws[0] if groups == 1 else draws)
    assert task.describe()["storage"] == storage
    with torch.no_grad():
        found = {name: function(task, params, batch, groups) for name, function in STRATEGIES.items()}
        losses, _ = task.lane_gradient(params, batch)
        evaluated = task.evaluate(params, lanes=lanes)
    for lane in range(lanes):
        own = draws[lane * groups // lanes].numpy()
        weight = params["weight"][lane].numpy()
        expected, grad = in_numpy(weight, inputs[own], labels[own], l2)
        np.testing.assert_allclose(losses[lane], expected, rtol=1e-12)
        for means, grads in found.values():
            np.testing.assert_allclose(means[lane], expected.mean(), rtol=1e-12)
            np.testing.assert_allclose(grads["weight"][lane], grad, rtol=1e-11, atol=1e-14)
        everywhere, _ = in_numpy(weight, inputs, labels, l2)
        np.testing.assert_allclose(evaluated["loss"][lane], everywhere.mean(), rtol=1e-12)
        right = (
            (inputs @ weight.T).argmax(axis=1) == labels
            if weight.ndim == 2
            else (inputs @ weight) * np.where(labels == 1, 1, -1) > 0
        )
        assert float(evaluated["accuracy"][lane]) == pytest.approx(right.mean(), abs=1e-12)


def test_no_dense_batch_is_ever_built(problem, monkeypatch):
    path, _, labels = problem

    def refuse(*args, **keywords):
        raise AssertionError("made dense")

    task = ready(path, labels, storage="sparse")
    params = draw(task, 4)
    monkeypatch.setattr(sparse.csr_array, "toarray", refuse)
    monkeypatch.setattr(sparse.csc_array, "toarray", refuse)
    monkeypatch.setattr(torch.Tensor, "to_dense", refuse)
    batch = task.batch(torch.tensor([[1, 2, 3], [3, 1, 1]]))
    entries = sum(t.numel() for name, t in batch.items() if "values" in name)
    assert entries < 2 * 2 * 3 * 15  # the matrix and its transpose hold the entries that are not zero
    task.lane_gradient(params, batch)
    task.evaluate(params, lanes=4)


def test_outside_its_support_the_gradient_is_zero_and_inside_it_is_the_touched_one(problem):
    path, _, labels = problem
    task = ready(path, labels, storage="sparse")
    params = draw(task, 6)
    batch = task.batch(torch.tensor([[1, 2, 9], [4, 4, 8]]))
    where = task.support(batch)
    _, grads = task.lane_gradient(params, batch)
    flat, whole = grads["weight"].reshape(6, -1), params["weight"].reshape(6, -1)
    outside = torch.ones(flat.shape[1], dtype=torch.bool)
    outside[where] = False
    assert outside.any()
    assert (flat[:, outside] == 0).all()
    losses, touched = task.touched_gradient(whole[:, where], batch)
    assert torch.equal(touched, flat[:, where])
    assert torch.equal(losses, task.lane_gradient(params, batch)[0])
    assert ready(path, labels, storage="sparse", l2=0.1).support(batch) is None
    assert ready(path, labels, storage="dense").support(task.batch(None)) is None


@pytest.mark.parametrize("words", [["optimizer=adagrad"], ["optimizer=sgd", "average=uniform"], ["optimizer=adam"],
                                   ["optimizer=adagrad_norm"], ["optimizer=adagrad", "wrapper=[clip_norm]"],
                                   ["optimizer=adagrad", "wrapper=[box]", "batch_size=full"]], ids=str)  # fmt: skip
def test_sparse_runs_equal_dense_ones(problem, tmp_path, words):
    path, _, labels = problem
    name = "logistic/libsvm" if len(np.unique(labels)) == 2 else "multiclass/libsvm"
    common = [f"task={name}", f"task.path={path}", "task.features=40", "lanes.lr=[0.1,2.0,0.5]", "lanes.seed=[0,1]"]
    common += ["batch_size=constant", "budget.steps=30", "record=every:10", "dtype=float64", *words]
    if "batch_size=full" not in words:
        common.append("batch_size.size=7")
    results = [api.run([*common, f"task.storage={s}", f"store={tmp_path / s}"]) for s in ("dense", "sparse")]
    tables = [api.load_runs(tmp_path / s) for s in ("dense", "sparse")]
    assert len(results[0]) == len(results[1]) == 6
    keys = ["optimizer.lr", "seed", "step", "metric"]
    dense, thin = (t.sort_values(keys).reset_index(drop=True) for t in tables)
    assert len(dense) > 0
    np.testing.assert_allclose(thin["value"], dense["value"], rtol=1e-10, atol=1e-12)
    assert thin[keys].equals(dense[keys])


def test_moments_of_the_gradient_equal_those_of_the_examples(problem):
    path, inputs, labels = problem
    for storage in ("dense", "sparse"):
        task = ready(path, labels, storage=storage, l2=0.2)
        weight = draw(task, 1)["weight"][0]
        each = np.stack([in_numpy(weight.numpy(), inputs[[i]], labels[[i]], 0.2)[1] for i in range(60)])
        if weight.dim() == 1:  # one label alone is its own largest one
            signs = np.where(labels == 1, 1.0, -1.0)
            margins = signs * (inputs @ weight.numpy())
            each = (-signs / (1 + np.exp(margins)))[:, None] * inputs + 0.2 * weight.numpy()
        mean, variance = task.gradient_moments({"weight": weight})
        np.testing.assert_allclose(mean["weight"], each.mean(axis=0), rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(variance["weight"], each.var(axis=0), rtol=1e-10, atol=1e-14)


def test_storage_is_sparse_only_where_that_is_worth_it(monkeypatch, problem):
    path, _, labels = problem
    assert ready(path, labels).describe()["storage"] == "dense"
    monkeypatch.setattr("experiments.tasks.linear._WIDE", 1000)
    monkeypatch.setattr("experiments.tasks.linear._THIN", 0.2)
    assert ready(path, labels).describe()["storage"] == "sparse"
    monkeypatch.setattr("experiments.tasks.linear._THIN", 0.05)
    assert ready(path, labels).describe()["storage"] == "dense"


def test_many_classes_are_made_two(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{label} 1:{label}\n" for label in (1, 2, 3, 4, 5)))
    task = LogisticRegression(path=str(path), positive_above=3)
    task.prepare(CPU, torch.float64)
    assert task.batch(None)["rows"][:, 0].tolist() == [-1, -2, -3, 4, 5]
    for border in (0.5, 5, 7):
        with pytest.raises(SettingError, match="leaves one class only"):
            LogisticRegression(path=str(path), positive_above=border).prepare(CPU, torch.float64)
    with pytest.raises(SettingError, match=r"task\.positive_above=<label>"):
        LogisticRegression(path=str(path)).prepare(CPU, torch.float64)


def test_a_matrix_too_large_to_be_dense_is_refused(monkeypatch, problem):
    path, _, labels = problem
    monkeypatch.setattr("experiments.tasks.linear._LARGEST", 2000)
    for values in ({"storage": "dense"}, {"scale": "range", "storage": "sparse"}):
        with pytest.raises(SettingError, match="too many to hold densely"):
            ready(path, labels, **values)
    assert ready(path, labels, storage="sparse").size == 60


def test_one_class_or_a_regression_target_is_no_multi_class_problem(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("3 1:1\n3 1:2\n")
    with pytest.raises(SettingError, match="one class only"):
        MulticlassLogistic(path=str(path)).prepare(CPU, torch.float64)
    path.write_text("".join(f"{i / 7} 1:1\n" for i in range(1500)))
    with pytest.raises(SettingError, match="do not look like classes"):
        MulticlassLogistic(path=str(path)).prepare(CPU, torch.float64)


def test_the_multi_class_minimum_is_that_of_scikit_learn(problem):
    path, inputs, labels = problem
    if len(np.unique(labels)) == 2:
        pytest.skip("tested with the binary task")
    task = ready(path, labels, l2=0.05)
    fitted = InSklearn(C=1 / (0.05 * 60), fit_intercept=False, tol=1e-12, max_iter=10000).fit(inputs, labels)
    expected = in_numpy(fitted.coef_, inputs, labels, 0.05)[0].mean()
    assert task.optimum == pytest.approx(expected, abs=1e-12)
    assert task.optimum <= expected + 1e-15
    at_least = in_numpy(task.minimum().point.reshape(4, 40), inputs, labels, 0.05)
    assert np.linalg.norm(at_least[1]) == pytest.approx(task.minimum().gradient_norm, abs=1e-12)
    assert task.minimum().gradient_norm < 1e-7
    assert ready(path, labels).optimum is None


def test_the_curvature_bound_is_the_hessian_at_zero(problem):
    path, _, labels = problem
    if len(np.unique(labels)) > 2:
        pytest.skip("no bound of this form is known")
    task = ready(path, labels, l2=0.3, storage="sparse")
    bound, factor, l2 = task.curvature_bound()
    hessian = torch.func.hessian(lambda w: task.losses({"weight": w}, task.batch(None)).mean())(task.init()["weight"])
    matrix = bound.toarray()
    np.testing.assert_allclose(factor * matrix.T @ matrix / 60 + l2 * np.eye(40), hessian, rtol=1e-11, atol=1e-14)
    plain = LinearTask.arrays(ready(path, labels))[0].toarray()
    assert (np.abs(matrix) == np.abs(plain)).all()


def test_rows_without_signs_are_seen_to_be_so(tmp_path):
    path = tmp_path / "positive.txt"
    path.write_text("1 1:2 3:1\n-1 1:1\n-1 2:4\n1 3:2\n")
    assert LogisticRegression(path=str(path)).curvature_bound()[0].toarray().min() == 0


@pytest.mark.skipif(not REAL, reason="needs DATA_DIR")
def test_news20_is_kept_sparse():
    task = api.load_task("logistic/news20", ["dtype=float32"])
    assert isinstance(task.rows, rows.SparseRows)
    assert (task.size, task.init()["weight"].shape[0]) == (15935, 62061)
    assert task.describe()["storage"] == "sparse"


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_statistics_of_a_batch_are_those_of_its_examples(problem, storage):
    path, _, labels = problem
    task = ready(path, labels, storage=storage, l2=0.2)
    weight = draw(task, 1)["weight"][0]
    draws = torch.tensor([3, 4, 4, 9, 17, 30, 31])
    alone = [task.batch(draws[i : i + 1]) for i in range(7)]
    each = torch.stack([
        torch.func.grad(lambda w, own=own: task.losses({"weight": w}, own).sum())(weight).reshape(-1) for own in alone
    ])  # fmt: skip
    torch.testing.assert_close(task.example_gradients({"weight": weight}, task.batch(draws)), each, rtol=1e-11, atol=0)
    found = measure.gradient_statistics(
        task, {"weight": weight}, task.batch(draws), ["variance_trace", "inner_product_variance"]
    )
    torch.testing.assert_close(found["variance_trace"], each.var(dim=0).sum(), rtol=1e-10, atol=0)
    torch.testing.assert_close(found["inner_product_variance"], (each @ each.mean(dim=0)).var(), rtol=1e-10, atol=0)
    noise = measure.gradient_noise(task, {"weight": weight}, task.batch(draws))["weight"].reshape(-1)
    torch.testing.assert_close(noise, each.std(dim=0, correction=0), rtol=1e-9, atol=1e-15)
    part = task.losses({"weight": weight}, task.part(task.batch(draws), 2, 5))
    torch.testing.assert_close(part, task.losses({"weight": weight}, task.batch(draws[2:5])))


def test_a_batch_of_empty_rows(problem):
    path, _, labels = problem
    task = ready(path, labels, storage="sparse")
    params = draw(task, 2)
    losses, grads = task.lane_gradient(params, task.batch(torch.tensor([3, 17, 3])))
    expected = np.log(max(2, len(np.unique(labels))))
    np.testing.assert_allclose(losses, expected, rtol=1e-15)
    assert (grads["weight"] == 0).all()
    assert task.support(task.batch(torch.tensor([3, 17]))).numel() == 0


def test_a_rotation_changes_the_axes_and_nothing_else(problem, tmp_path):
    path, _, labels = problem
    plain, turned = (ready(path, labels, rotated=rotated, l2=0.1, intercept=True) for rotated in (False, True))
    one, other = plain.batch(None)["rows"], turned.batch(None)["rows"]
    torch.testing.assert_close(other @ other.T, one @ one.T, rtol=1e-10, atol=1e-12)
    assert float((other.abs() > 1e-9).double().mean()) > 0.9  # no zeros are left, but for empty rows
    assert turned.optimum == plain.optimum
    name = "logistic/libsvm" if len(np.unique(labels)) == 2 else "multiclass/libsvm"
    words = [f"task={name}", f"task.path={path}", "task.features=40", "budget.steps=20", "dtype=float64"]
    ends = {}
    for optimizer in ("sgd", "adagrad"):
        for rotated in ("false", "true"):
            (run,) = api.run([*words, f"optimizer={optimizer}", "optimizer.lr=0.3", f"task.rotated={rotated}",
                              f"store={tmp_path}"])  # fmt: skip
            ends[optimizer, rotated] = run.metrics["loss"]
    assert ends["sgd", "true"] == pytest.approx(ends["sgd", "false"], rel=1e-10)
    assert abs(ends["adagrad", "true"] - ends["adagrad", "false"]) > 1e-3
    if len(np.unique(labels)) == 2:
        bound, factor, l2 = turned.curvature_bound()
        hessian = torch.func.hessian(lambda w: turned.losses({"weight": w}, {"rows": other}).mean())
        expected = hessian(turned.init()["weight"])
        np.testing.assert_allclose(factor * (bound.T @ bound).toarray() / 60 + l2 * np.eye(41), expected, atol=1e-12)
    with pytest.raises(SettingError, match="for at most 5,000 columns"):
        MulticlassLogistic(path=path, features=6000, rotated=True).prepare(CPU, torch.float64)


def test_rotations_have_numbers_and_the_first_is_true(problem):
    path, _, labels = problem
    tasks = {value: ready(path, labels, rotated=value) for value in (False, True, 2, 3)}
    rows = {value: task.batch(None)["rows"] for value, task in tasks.items()}
    for number, seed in ((True, []), (2, [2]), (3, [3])):
        q, r = np.linalg.qr(np.random.default_rng([*b"rotation", 40, *seed]).standard_normal((40, 40)))
        np.testing.assert_allclose(rows[number], rows[False].numpy() @ (q * np.sign(np.diagonal(r))), atol=1e-13)
        assert tasks[number].objective() == tasks[False].objective()
    name = "logistic/libsvm" if len(np.unique(labels)) == 2 else "multiclass/libsvm"
    ids = [
        config.request([f"task={name}", f"task.path={path}", f"task.rotated={value}"]).runs[0].id
        for value in ("false", "0", "true", "1", "2", "3")
    ]
    assert (ids[0], ids[2]) == (ids[1], ids[3])
    assert len(set(ids)) == 4
