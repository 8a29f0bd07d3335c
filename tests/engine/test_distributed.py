"""Several processes work on one run: real ones, as torchrun starts them, on the CPU."""

import contextlib
import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed_driver
import pytest
import torch

from experiments import api, config, distributed, export, files, reproduce, run
from experiments.distributed import ALONE, World
from experiments.job import Job
from experiments.store import Store

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(distributed_driver.__file__)
BASE = ["task=images/digits_linear", "dtype=float64", "record=every:1"]
ADAGRAD = ["optimizer=adagrad", "optimizer.lr=0.05"]


def adaptive(rule: str, size: int, *more: str) -> list[str]:
    return [*BASE, *ADAGRAD, f"batch_size={rule}", f"batch_size.size={size}", "sampling=reshuffled", *more]


def constant(size: int, *more: str) -> list[str]:
    return [*BASE, f"batch_size.size={size}", *more]


RUNS = {
    "constant": constant(64, *ADAGRAD, "budget.steps=8"),
    "odd": constant(13, "optimizer=adam", "optimizer.lr=0.01", "budget.examples=100"),  # the last batch has 9
    "fewer examples than processes": constant(4, *ADAGRAD, "budget.examples=17"),  # in the last batch
    "full": [*BASE, *ADAGRAD, "batch_size=full", "budget.steps=3"],
    "torch.optim": constant(10, "optimizer=torch.optim.NAdam", "optimizer.arguments.lr=0.02", "budget.steps=5"),
    "lanes": ["task=logistic/breast_cancer", *constant(9)[1:], "optimizer=adam", "lanes.lr=[0.01,0.1]",
              "lanes.seed=[0,1]", "average=uniform", "budget.steps=5"],
    "probe": constant(9, *ADAGRAD, "probe=gradient_norm", "schedule=inverse_sqrt", "budget.steps=5"),
    "norm test": adaptive("norm_test", 3, "batch_size.eta=1", "budget.steps=10"),
    "augmented inner product": adaptive("augmented_inner_product", 2, "batch_size.theta=0.5", "batch_size.nu=1",
                                        "budget.steps=10"),
    "coordinate norm test": adaptive("coordinate_norm_test", 3, "batch_size.eta=20", "budget.steps=10"),
    "network": ["task=images/digits_cnn", "dtype=float64", "record=every:1", *ADAGRAD, "batch_size=norm_test",
                "batch_size.size=4", "batch_size.eta=1", "batch_size.cap=50", "budget.steps=3"],
}  # fmt: skip
GROWING = ("norm test", "augmented inner product", "coordinate norm test", "network")


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def torchrun(processes: int, *command: str, limit: float = 120) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *command]
    return subprocess.run(words, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=limit)


def driven(processes: int, out: Path, commands: list[list[str]], **more: Any) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    return torchrun(processes, str(DRIVER), json.dumps({"out": str(out), "commands": commands, **more}))


@contextlib.contextmanager
def by_hand(processes: int, out: Path, commands: list[list[str]], **more: Any) -> Iterator[list[subprocess.Popen[str]]]:
    """The same processes without torchrun, which would end all when one ends."""
    out.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(processes)}
    asked = json.dumps({"out": str(out), "commands": commands, **more})
    started = [
        subprocess.Popen([sys.executable, str(DRIVER), asked], env={**environment(), **where, "RANK": str(rank)},
                         cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]  # fmt: skip
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def job(store: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """The rows and the last tensors of the only job of a store."""
    (folder,) = (store / "jobs").iterdir()
    assert (folder / "result.json").exists()
    checkpoint = files.read_checkpoint(folder / "checkpoint.safetensors")
    assert checkpoint is not None
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()], checkpoint[0]


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "seconds": None} for row in rows]


# Real processes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs in one process."""
    folder = tmp_path_factory.mktemp("one")
    for name, words in RUNS.items():
        api.run([*words, f"store={folder / name}"])
    return folder


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, str]:
    """All runs in some processes, which do other commands too; their number, the folder and what they printed."""
    folder = tmp_path_factory.mktemp(f"many{request.param}")
    commands = [[*words, f"store={folder / name}"] for name, words in RUNS.items()]
    first = commands[0]
    more = [first, [*first, "plan=true"], [*first[:-1], f"store={folder / 'planned'}", "plan=true"]]
    swept = ["-m", *constant(8, "budget.steps=3"), "optimizer=sgd,adagrad", f"store={folder / 'swept'}"]
    done = driven(request.param, folder, [*commands, *more, swept], world=True)
    assert done.returncode == 0, done.stderr
    return request.param, folder, done.stdout


def test_collective_operations(together: tuple[int, Path, str]) -> None:
    processes, folder, _ = together
    found = [json.loads((folder / f"world-{rank}.json").read_text()) for rank in range(processes)]
    assert all(f == found[0] for f in found)  # to the bit
    for dtype in (torch.float32, torch.float64, torch.int64):
        for size in distributed_driver.SIZES:
            each = [distributed_driver.numbers(rank, size, dtype) for rank in range(processes)]
            total = torch.frombuffer(bytearray.fromhex(found[0]["sums"][f"{dtype} {size}"]), dtype=dtype)
            exact = torch.stack(each).double().sum(dim=0)
            tolerance = {torch.float32: 1e-2, torch.float64: 1e-10, torch.int64: 0.0}[dtype]
            assert (total.double() - exact).abs().max() <= tolerance
    wide = sum(distributed_driver.numbers(rank, 12, torch.float64).reshape(3, 4).T for rank in range(processes))
    torch.testing.assert_close(torch.tensor(found[0]["together"]["wide"], dtype=torch.float64), wide)
    single = sum(distributed_driver.numbers(rank, 7, torch.float32) for rank in range(processes))
    torch.testing.assert_close(torch.tensor(found[0]["together"]["single"]), single)
    assert found[0]["together"]["scalar"] == processes * (processes + 1) / 2
    assert found[0]["agreed"] == [x.hex() for x in (0.1, -0.0, 1e-310, math.inf, 2.0**53 + 2)]
    assert found[0]["nothing"] == []
    said = (b"", b"\x00abc", bytes(range(256)) * 5000)
    assert found[0]["heard"] == [hashlib.sha256(data).hexdigest() for data in said]


@pytest.mark.parametrize("name", RUNS)
def test_equal_to_one_process(reference: Path, together: tuple[int, Path, str], name: str) -> None:
    rows, tensors = job(reference / name)
    others, there = job(together[1] / name)
    assert len(rows) == len(others) > 3
    for row, other in zip(rows, others, strict=True):
        metrics, numbers = row.pop("metrics", {}), other.pop("metrics", {})
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
        assert metrics.get("batch_size") == numbers.get("batch_size")
        assert metrics.keys() == numbers.keys()
        for key, values in metrics.items():
            assert numbers[key] == pytest.approx(values, rel=1e-10, abs=1e-13), key
    assert tensors.keys() == there.keys()
    for key, values in tensors.items():
        torch.testing.assert_close(there[key], values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", GROWING)
def test_the_sizes_grow(reference: Path, name: str) -> None:
    """Else their equality would say little."""
    rows, _ = job(reference / name)
    assert len({row["metrics"]["batch_size"][0] for row in rows if "batch_size" in row.get("metrics", {})}) > 1


def test_only_the_first_process_prints(together: tuple[int, Path, str]) -> None:
    processes, folder, printed = together
    assert printed.count(f"1 run in {folder / 'odd'}\n") == 1
    assert printed.count(f"1 run in {folder / 'constant'}\n") == 2  # asked for twice
    assert printed.count("1 runs: 1 done, 0 to do") == printed.count("1 runs: 0 done, 1 to do") == 1
    assert not (folder / "planned").exists()
    for rank in range(processes):
        assert set(json.loads((folder / f"codes-{rank}.json").read_text())) == {0}


def test_a_multirun(together: tuple[int, Path, str]) -> None:
    jobs = list((together[1] / "swept" / "jobs").iterdir())
    assert len(jobs) == 2
    assert all((path / "result.json").exists() for path in jobs)


KILLED = adaptive("norm_test", 3, "batch_size.eta=1", "budget.steps=10", "average=uniform", "checkpoint_seconds=0")


@pytest.fixture(scope="module", params=[2, 3])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """A run of some processes; their number, and the store."""
    folder = tmp_path_factory.mktemp(f"whole{request.param}")
    assert driven(request.param, folder / "out", [[*KILLED, f"store={folder / 'store'}"]]).returncode == 0
    return request.param, folder / "store"


@pytest.mark.slow
@pytest.mark.parametrize("last", [False, True], ids=["all", "last"])
def test_killed_and_started_again(uninterrupted: tuple[int, Path], tmp_path: Path, last: bool) -> None:
    processes, whole = uninterrupted
    cut = [*KILLED, f"store={tmp_path / 'cut'}"]
    death = {"step": 7, "ranks": list(range(processes))[-1 if last else 0 :], "how": "kill"}
    assert driven(processes, tmp_path / "out", [cut], at=death, save=4).returncode != 0
    (folder,) = (tmp_path / "cut" / "jobs").iterdir()
    checkpoint = files.read_checkpoint(folder / "checkpoint.safetensors")
    assert checkpoint is not None
    assert checkpoint[1]["loop"]["step"] == 4
    done = driven(processes, tmp_path / "out", [cut])
    assert done.returncode == 0, done.stderr
    (rows, tensors), (others, there) = job(whole), job(tmp_path / "cut")
    assert without_seconds(rows) == without_seconds(others)
    assert tensors.keys() == there.keys()
    assert all(torch.equal(tensors[key], there[key]) for key in tensors)


@pytest.mark.slow
def test_another_number_of_processes_goes_on(tmp_path: Path) -> None:
    cut = [*KILLED, f"store={tmp_path / 'cut'}"]
    api.run([*KILLED, f"store={tmp_path / 'whole'}"])
    driven(3, tmp_path / "out", [cut], at={"step": 7, "ranks": [0, 1, 2], "how": "kill"}, save=4)
    assert driven(2, tmp_path / "out", [cut]).returncode == 0
    (_, tensors), (_, there) = job(tmp_path / "whole"), job(tmp_path / "cut")
    torch.testing.assert_close(tensors["parameters"], there["parameters"], rtol=1e-10, atol=1e-12)


SWEPT = ["-m", *constant(8, "budget.steps=30"), "optimizer=sgd,adagrad"]


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_error_in_one_process_ends_all(tmp_path: Path, rank: int) -> None:
    began = time.perf_counter()
    failure = {"step": 5, "ranks": [rank], "how": "raise"}
    done = driven(2, tmp_path / "out", [[*SWEPT, f"store={tmp_path / 'store'}"]], at=failure)
    assert done.returncode != 0
    assert time.perf_counter() - began < 60
    (folder,) = (tmp_path / "store" / "jobs").iterdir()  # the second job was not begun
    assert not (folder / "result.json").exists()
    reason = "ArithmeticError: broken on purpose"
    if rank:
        assert f"error: process 1 of 2: {reason}\n" in done.stderr
    else:
        assert f"error: 1 of 1 runs failed; the first: {reason} (details: " in done.stderr
        assert reason in (folder / "error.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "how"), [(0, "raise"), (1, "raise"), (0, "kill"), (1, "kill")])
def test_the_others_notice_without_torchrun(tmp_path: Path, rank: int, how: str) -> None:
    end = {"step": 5, "ranks": [rank], "how": how}
    with by_hand(2, tmp_path / "out", [[*SWEPT, f"store={tmp_path / 'store'}"]], at=end) as processes:
        codes = [process.wait(timeout=60) for process in processes]
        errors = [process.communicate()[1] for process in processes]
    assert codes == {
        (0, "raise"): [1, 1], (1, "raise"): [1, 1], (0, "kill"): [-signal.SIGKILL, 1], (1, "kill"): [1, -signal.SIGKILL]
    }[rank, how]  # fmt: skip
    if rank == 0:
        assert "error:" not in errors[1]
    else:
        assert "another process of this run has ended or cannot be reached" in errors[0]


@pytest.mark.slow
def test_something_wrong_in_one_process_alone(tmp_path: Path) -> None:
    """Say a node that lacks a file: it is said by that process, before any work."""
    (tmp_path / "out").mkdir()
    script = tmp_path / "one.py"
    path, store = tmp_path / "data.libsvm", f"store={tmp_path / 'store'}"
    fine = "1 1:0.5\n-1 1:0.25\n" * 10
    path.write_text(fine)
    script.write_text(
        "import sys\n"
        "from experiments import distributed, run\n"
        f"words = {[*_own_file(path), store]!r}\n"
        "if distributed.world().rank: words[1] += '.missing'\n"
        "distributed.leave(run.main(words))\n"
    )
    done = torchrun(2, str(script))
    assert done.returncode != 0
    assert "error: process 1 of 2: " in done.stderr
    assert f"{path}.missing" in done.stderr
    other = tmp_path / "other.libsvm"
    other.write_text(fine.replace("0.5", "0.75"))
    script.write_text(script.read_text().replace("words[1] += '.missing'", f"words[1] = 'task.path={other}'"))
    done = torchrun(2, str(script))
    assert done.returncode != 0
    assert "error: process 1 of 2: process 0 runs something else" in done.stderr


def _own_file(path: Path) -> list[str]:
    return ["task=logistic/libsvm", f"task.path={path}", "optimizer=sgd", "batch_size.size=4", "budget.steps=5"]


@pytest.mark.slow
def test_commands_under_torchrun(tmp_path: Path) -> None:
    store = f"store={tmp_path / 'store'}"
    done = torchrun(2, "-m", "experiments.run", *constant(8, "budget.steps=3"), store)
    assert (done.returncode, done.stdout.count("1 run in")) == (0, 1)
    again = torchrun(2, "-m", "experiments.run", *constant(8, "budget.steps=3"), store)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    shown = torchrun(2, "-m", "experiments.run", "--help")
    assert (shown.returncode, shown.stdout.count("Examples:")) == (0, 1)
    refused = torchrun(2, "-m", "experiments.run", "optimizer=adagrat", store)
    assert refused.returncode != 0
    assert refused.stderr.count("error:") == 1


@pytest.mark.slow
def test_waits_for_another_process_that_has_the_runs(tmp_path: Path) -> None:
    words = [*constant(8, "budget.steps=30"), f"store={tmp_path / 'store'}"]
    store = Store(tmp_path / "store")
    store.require_writable()
    held = store.claim(Job(tuple(config.request(words).runs)))  # by a process that lives: this one
    assert held is not None
    with by_hand(2, tmp_path / "out", [words]) as processes:
        while not list((tmp_path / "store").glob("sweeps/*.json")):
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.1)
        time.sleep(3)
        assert [process.poll() for process in processes] == [None, None]
        held.close()
        assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert len(job(tmp_path / "store")[0]) == 31


# Without processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 17, 64])
def test_shares(size: int, count: int) -> None:
    shares = [World(rank, size).share(count) for rank in range(size)]
    assert [i for start, stop in shares for i in range(start, stop)] == list(range(count))
    lengths = [stop - start for start, stop in shares]
    assert lengths == sorted(lengths, reverse=True)
    assert max(lengths) - min(lengths) <= 1


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process does nothing for the others, and knows when it is one."""
    numbers, tensor, data = [1.0, 2.0], torch.ones(3), b"abc"
    ALONE.sum(tensor)
    assert torch.equal(tensor, torch.ones(3))
    assert ALONE.agree(numbers) is numbers
    assert ALONE.tell(data) is data
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(distributed, "_world", None)
    assert distributed.world() is ALONE
    monkeypatch.setattr(distributed, "_world", None)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert distributed.world() is ALONE
    monkeypatch.setattr(distributed, "_world", None)
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    there = distributed.world()
    assert (there.rank, there.size) == (2, 3)
    with distributed.alone():
        assert distributed.world() is ALONE
    assert distributed.world() is there


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["budget.seconds=2"], "budget.seconds is for one process"),
        (["-m", "launcher=joblib", "seed=0,1"], "launcher= and torchrun are two ways"),
        (["hydra.verbose=true"], "'hydra.verbose=true' goes through Hydra"),
        (["-m", "seed=0,1", "--config-name=run"], "'--config-name=run' goes through Hydra"),
    ],
)
def test_refused(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distributed, "_world", World(0, 2))
    assert run.main([*BASE, *words, f"store={tmp_path / 'store'}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", [reproduce.main, export.main])
def test_other_commands_are_refused(command: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(distributed, "_world", World(0, 2))
    assert command([]) == 2
    printed = capsys.readouterr()
    assert printed.err == "error: only `python -m experiments.run` works under torchrun: start this without it\n"
    monkeypatch.setattr(distributed, "_world", World(1, 2))
    assert command([]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("cuda", "device=cuda needs a GPU for each of the 4 processes here, and torch finds 2"),
     ("cuda:1", "device=cuda:1 under torchrun: say device=cuda")],
)  # fmt: skip
def test_gpus(device: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    distributed.take_gpu(torch.device(device))  # of one process
    monkeypatch.setattr(distributed, "_world", World(5, 8))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=sentence):
        distributed.take_gpu(torch.device(device))
    assert taken == []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    distributed.take_gpu(torch.device("cuda"))
    assert taken == [1]
