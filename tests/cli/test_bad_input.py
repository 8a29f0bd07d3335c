"""What a user can get wrong: one clear sentence, exit code not 0, no traceback, nothing run and nothing written."""

import bz2
import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import api, components, config, run, runner
from experiments.job import Job
from experiments.store import Store
from optim.settings import SettingError

GOOD = b"".join(b"%d 1:%d 2:0.5\n" % (1 if i % 2 else -1, i) for i in range(40))
LIBSVM = "task=logistic/libsvm"

Refused = Callable[..., str]


@pytest.fixture
def refused(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command that must be refused; its sentence."""
    monkeypatch.setattr(run, "execute", lambda request: pytest.fail(f"it ran {len(request.runs)} runs"))

    def call(*words: str, store: str = "store") -> str:
        before = _files(tmp_path)
        ended = command(*words, f"store={tmp_path / store}")
        check_one_sentence(ended.err)
        assert ended.code not in (0, None)
        assert not ended.out
        assert _files(tmp_path) == before, "something was written"
        return str(ended.err.strip())

    return call


def check_one_sentence(text: str) -> None:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert text.startswith("error: ")
    assert len(text) < 400
    assert "Traceback" not in text
    assert not re.search(r"\w(Exception|Error)\b", text), "the name of a Python class is no sentence"


def _files(folder: Path) -> set[str]:
    """Everything below `folder` but the cache of parsed files, and the top of the clone but what is ignored there."""
    below = {p.as_posix() for p in folder.rglob("*") if "cache" not in p.relative_to(folder).parts}
    top = {p.as_posix() for p in components.ROOT.iterdir() if p.name in LITTER}
    assert not list(folder.rglob("cache/*.tmp")), "half a cache entry"
    return below | top


LITTER = ("outputs", "multirun", ".hydra", "multirun.yaml", "store", "none", "null")


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wrong", "right"),
    [
        (["task=logistic/breast_cancr"], "logistic/breast_cancr", "logistic/breast_cancer"),
        (["optimizer=adagard"], "adagard", "adagrad"),
        (["batch_size=constnt"], "constnt", "constant"),
        (["schedule=inverse_sqr"], "inverse_sqr", "inverse_sqrt"),
        (["average=unifrom"], "unifrom", "uniform"),
        (["probe=gradient_nrom"], "gradient_nrom", "gradient_norm"),
        (["probe=[gradient_norm,gradient_nrom]"], "gradient_nrom", "gradient_norm"),
        (["logger=nonne"], "nonne", "none"),
        (["optimiser=sgd"], "optimiser", "optimizer"),
        (["budgt.steps=3"], "budgt", "budget"),
        (["sed=3"], "sed", "seed"),
        (["lane.lr=[1]"], "lane", "lanes"),
        (["+recrod=ends"], "recrod", "record"),
        (["optimizer.lrr=1"], "optimizer.lrr", "lr"),
        (["optimizer=adam", "optimizer.beta_1=0.9"], "optimizer.beta_1", "beta1"),
        (["task.l3=1"], "task.l3", "l2"),
        (["batch_size.sizes=4"], "batch_size.sizes", "size"),
        (["budget.example=4"], "budget.example", "examples"),
        (["lanes.lrr=[1]"], "lanes.lrr", "lr"),
        (["lanes.seeds=[1]"], "lanes.seeds", "seed"),
        (["optimizer=adam", "lanes.beta=[0.9]"], "lanes.beta", "beta"),
        (["optimizer=torch.optim.Adagradd"], "Adagradd", "Adagrad"),
        (["optimizer=torch.optim.NAdam", "optimizer.arguments.lrr=1"], "lrr", "lr"),
        (["optimizer=torch.optim.NAdam", "lanes.lrr=[1]"], "lrr", "lr"),
        (["sampling=reshufled"], "reshufled", "reshuffled"),
        (["dtype=float46"], "float46", "float64"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_valid_one(
    refused: Refused, words: list[str], wrong: str, right: str
) -> None:
    sentence = refused(*words)
    assert wrong in sentence
    assert f"did you mean '{right}" in sentence


@pytest.mark.parametrize(
    ("words", "valid"),
    [
        (["task=qqq"], "python -m experiments.list"),
        (["optimizer=xyz"], "adagrad"),
        (["optimizer=null"], "adagrad"),
        (["optimizer="], "adagrad"),
        (["task=3"], "images/cifar_cnn"),
        (["zzz=3"], "budget"),
        (["optimizer.zzz=0.9"], "lr"),
        (["lanes.foreach=[1]"], "seed"),
        (["budget.xyz=1"], "steps"),
    ],
)
def test_a_name_like_no_other_is_answered_with_all_valid_ones(refused: Refused, words: list[str], valid: str) -> None:
    sentence = refused(*words)
    assert "choose from: " in sentence
    assert valid in sentence


@pytest.mark.parametrize(
    "word",
    ["optimizer", "optimizer.lr", "=3", "seed 3", "~task", "~optimizer", "~task.data", "~seed", "lanes.lr=[1", "a b=3"],
)
def test_words_that_say_nothing(refused: Refused, word: str) -> None:
    refused(word)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["probe.nonsense=3"], "probe"),
        (["probe._target_=os.system"], "probe"),
        (["logger.nonsense=3"], "logger"),
        (["average.nonsense=3"], "average"),
        (["schedule.nonsense=3"], "schedule.nonsense"),
        (["probe=[gradient_norm]", "probe.gradient_norm.nonsense=3"], "nonsense"),
    ],
)
def test_settings_of_parts_that_have_none(refused: Refused, words: list[str], named: str) -> None:
    assert named in refused(*words)


# Types and ranges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("seed=x", "run.seed must be a whole number, not 'x'"),
        ("seed=1.5", "run.seed must be a whole number, not 1.5"),
        ("seed=true", "run.seed must be a whole number, not True"),
        ("seed=-1", "run.seed must be at least 0, not -1"),
        ("seed=[1]", "run.seed must be a whole number, not [1]"),
        ("optimizer.lr=fast", "optimizer.lr must be a number, not 'fast'"),
        ("optimizer.lr=true", "optimizer.lr must be a number, not True"),
        ("optimizer.lr=null", "optimizer.lr must be a number, not None"),
        ("optimizer.lr=[1]", "optimizer.lr must be a number, not [1]"),
        ("optimizer.lr={a:1}", "optimizer.lr must be a number, not {'a': 1}"),
        ("task.l2=x", "task.l2 must be a number, not 'x'"),
        ("task.l2=-1", "task.l2 must be at least 0.0, not -1.0"),
        ("plan=maybe", "run.plan must be true or false, not 'maybe'"),
        ("dtype=1", "run.dtype must be text, not 1"),
        ("budget=3", "run.budget must be a mapping, not 3"),
        ("lanes=abc", "run.lanes must be a mapping, not 'abc'"),
        ("lanes=[]", "run.lanes must be a mapping, not []"),
        ("divergence_bound=0", "run.divergence_bound must be greater than 0.0, not 0.0"),
        ("divergence_bound=nan", "run.divergence_bound must be a finite number, not nan"),
        ("checkpoint_seconds=-1", "run.checkpoint_seconds must be at least 0.0, not -1.0"),
    ],
)
def test_wrong_types(refused: Refused, word: str, wanted: str) -> None:
    assert refused(word) == f"error: {wanted}"


@pytest.mark.parametrize("value", ["-1", "-1e-300", "nan", "inf", "-inf", "1e400", "-1e400"])
@pytest.mark.parametrize(
    "words",
    [
        ["optimizer.lr={}"],
        ["optimizer=adam", "optimizer.lr={}"],
        ["lanes.lr=[0.1,{}]"],
        ["lanes.lr=[{}]"],
        ["optimizer=torch.optim.NAdam", "optimizer.arguments.lr={}"],
        ["optimizer=torch.optim.NAdam", "lanes.lr=[0.1,{}]"],
    ],
    ids=["setting", "adam", "one of two lanes", "lane", "torch", "torch lane"],
)
def test_learning_rates_that_are_negative_or_not_finite(refused: Refused, words: list[str], value: str) -> None:
    assert "lr" in refused(*(word.format(value) for word in words))


@pytest.mark.parametrize("value", ["0", "-3", "2.5", "1e400", "nan", "inf", "many", "true", "null", "[1,2]"])
def test_batch_sizes(refused: Refused, value: str) -> None:
    assert "batch_size.size must be" in refused(f"batch_size.size={value}")


@pytest.mark.parametrize("key", ["optimizer.lr", "batch_size.size", "seed", "budget.steps", "budget.seconds"])
def test_numbers_of_400_digits(refused: Refused, key: str) -> None:
    assert key in refused(f"{key}=1{'0' * 400}")


def test_a_batch_larger_than_the_data(refused: Refused) -> None:
    sentence = refused("batch_size.size=570", "sampling=reshuffled")
    assert "570" in sentence
    assert "569 examples" in sentence
    assert "sampling=replacement" in sentence
    config.request(["batch_size.size=570"])
    config.request(["batch_size.size=569", "sampling=reshuffled"])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["lanes.lr=[]"], "at least one value"),
        (["lanes.seed=[]"], "at least one value"),
        (["lanes.lr=[1,1]"], "twice"),
        (["lanes.lr=[1,1.0]"], "twice"),
        (["lanes.seed=[3,4,3]"], "twice"),
        (["optimizer=torch.optim.NAdam", "lanes.lr=[0.1,0.1]"], "twice"),
        (["lanes.lr=0.1"], "must be a list"),
        (["lanes.lr=abc"], "must be a list"),
        (["lanes.lr=null"], "must be a list"),
        (["lanes.lr={a:1}"], "must be a list"),
        (["lanes.lr.a=1"], "must be a list"),
        (["lanes.lr=0.1,0.2"], "several values"),
        (["lanes.lr=range(1,4)"], "several values"),
        (["lanes.seed=[1.5]"], "whole number, not 1.5"),
        (["lanes.seed=[-1]"], "at least 0, not -1"),
        (["lanes.seed=[x]"], "whole number, not 'x'"),
        (["lanes.seed=[1e400]"], "whole number, not inf"),
        (["lanes.lr=[0.1,x]"], "a number, not 'x'"),
        (["lanes.lr=[true]"], "a number, not True"),
        (["lanes.lr=[null]"], "a number, not None"),
        (["lanes.lr=[[1]]"], "a number, not [1]"),
        (["optimizer=torch.optim.NAdam", "lanes.lr=[x]"], "numbers, not 'x'"),
        (["optimizer=adagrad", "lanes.eps=[1e-3,-1]"], "lanes.eps must be at least 0.0, not -1.0"),
    ],
)
def test_lanes(refused: Refused, words: list[str], wanted: str) -> None:
    sentence = refused(*words)
    assert ".".join(words[-1].partition("=")[0].split(".")[:2]) in sentence
    assert wanted in sentence


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["budget.steps=2", "budget.examples=3"], "give one budget"),
        (["budget.seconds=2", "budget.examples=3"], "give one budget"),
        (["budget={steps:2,examples:3}"], "give one budget"),
        (["budget.steps=0"], "at least 1"),
        (["budget.examples=-1"], "at least 1"),
        (["budget.steps=1.5"], "whole number"),
        (["budget.steps=1e400"], "whole number"),
        (["budget.seconds=0"], "greater than 0"),
        (["budget.seconds=inf"], "finite"),
        (["budget.seconds=nan"], "finite"),
    ],
)
def test_budgets(refused: Refused, words: list[str], wanted: str) -> None:
    assert wanted in refused(*words)


@pytest.mark.parametrize(
    "value", ["nonsense", "every", "every:", "every:0", "every:-1", "every:1.5", "every:x", "log:3"]
)
def test_recording(refused: Refused, value: str) -> None:
    assert "ends, log, every:K" in refused(f"record={value}")


@pytest.mark.parametrize("value", ["every:²", "@", "a;b"])
def test_characters_that_hydra_cannot_read(refused: Refused, value: str) -> None:
    assert "record" in refused(f"record={value}")


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("cut.bz2", bz2.compress(GOOD * 50)[:-20], "truncated"),
        ("empty", b"", "is empty (0 bytes)"),
        ("comment", b"# nothing else\n", "no rows"),
        ("word", GOOD + b"1 foo\n", "line 41: 'foo'"),
        ("order", GOOD + b"1 3:1 2:1\n", "line 41: index 2"),
        ("label", GOOD + b"x 1:1\n", "line 41: "),
        ("nan", GOOD + b"1 1:nan\n", "line 41: "),
        ("nan label", GOOD + b"nan 1:1\n", "line 41: "),
        ("infinite", GOOD + b"1 1:1e400\n", "line 41: "),
        ("three", GOOD + b"2 1:1\n", "needs two classes, and three has 3 (-1, 1, 2)"),
        ("one", b"1 1:1\n1 1:2\n", "needs two classes, and one has 1 (1)"),
        ("not.bz2", GOOD, "holds no .bz2 stream"),
    ],
)
def test_files_of_the_user(refused: Refused, tmp_path: Path, name: str, content: bytes, wanted: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    sentence = refused(LIBSVM, f"task.path={path}")
    assert name in sentence
    assert wanted in sentence


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["task.path={}/none"], "there is no file"),
        (["task.path={}"], "is a folder"),
        (["task.path={}/good/below"], "good/below"),
        (["task.path={}/good", "task.features=1"], "line 1: index 2 is beyond the 1 features stated"),
        (["task.path={}/good", "task.features=0"], "task.features must be at least 1"),
        (["task.path={}/good", "task.features=1.5"], "task.features must be a whole number"),
        (["task.path={}/good", "task.features=1e12"], "number of features"),
        (["task.path={}/good", "task.data=libsvm/a9a"], "either task.data"),
        ([], "task.path"),
    ],
)
def test_files_and_what_is_said_about_them(refused: Refused, tmp_path: Path, words: list[str], wanted: str) -> None:
    (tmp_path / "good").write_bytes(GOOD)
    assert wanted in refused(LIBSVM, *(word.format(tmp_path) for word in words))


def test_a_registered_set_that_is_not_here(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    sentence = refused("task=logistic/a9a")
    for part in ("a9a.bz2", str(tmp_path), "make data"):
        assert part in sentence
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "none"))
    assert "DATA_DIR" in refused("task=logistic/a9a")


def test_a_registered_set_that_is_damaged(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "libsvm").mkdir()
    for folder in (tmp_path, tmp_path / "libsvm"):
        (folder / "a9a.bz2").write_bytes(bz2.compress(GOOD))
    assert "a9a" in refused("task=logistic/a9a")


@pytest.mark.parametrize("kind", ["file", "below a file", "below two"])
def test_a_store_that_cannot_be_written(refused: Refused, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("mine")
    store = {"file": "file", "below a file": "file/store", "below two": "file/a/store"}[kind]
    sentence = refused("budget.steps=2", store=store)
    assert f"store={tmp_path / store} cannot be written" in sentence
    assert (tmp_path / "file").read_text() == "mine"


# Targets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["task", "optimizer", "batch_size", "schedule", "average", "logger"])
@pytest.mark.parametrize("target", ["os.system", "builtins.open", "torch.load", "optim.catalogue.find", "optim"])
def test_targets_outside_the_allow_list(refused: Refused, group: str, target: str) -> None:
    sentence = refused(f"{group}._target_={target}")
    assert target in sentence
    assert group in sentence


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=os.system"],
        ["optimizer=torch.load"],
        ["optimizer=torch.optim.lr_scheduler.StepLR"],
        ["optimizer=torch", "optimizer.path=os.system"],
        ["optimizer=torch", "optimizer.path=torch.optim.adam.Adam"],
        ["optimizer._target_=optim.foreign.importlib"],
        ["optimizer._target_=optim.rules.sgd.dataclass"],
        ["optimizer._target_=optim.rules.sgd.setting"],
        ["optimizer._target_=optim.rules."],
        ["optimizer._target_=optim.batch_sizes.constant"],
        ["optimizer._target_=experiments.tasks.logistic"],
        ["task._target_=optim.rules.sgd"],
        ["task._target_=experiments.tasks.optima"],
        ["optimizer._target_=null"],
        ["optimizer._target_=[1]"],
        ["optimizer._target_="],
    ],
)
def test_targets_that_are_no_component_of_their_kind(refused: Refused, words: list[str]) -> None:
    assert words[0].partition(".")[0].partition("=")[0] in refused(*words)


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam", "Muon", "Optimizer"])
@pytest.mark.parametrize("word", ["optimizer=torch.optim.{}", "optimizer._target_=torch.optim.{}"])
def test_torch_classes_that_cannot_run_here_are_refused_by_name(refused: Refused, word: str, name: str) -> None:
    assert f"torch.optim.{name} cannot be used here: it" in refused(word.format(name))


@pytest.mark.parametrize(
    "arguments",
    ["{lr: x}", "{betas: [0.9, 2]}", "{weight_decay: nan}", "{weight_decay: inf}", "{params: 1}", "3",
     "{fused: true, foreach: true}"],
)  # fmt: skip
def test_arguments_that_a_torch_class_refuses(refused: Refused, arguments: str) -> None:
    assert "optimizer" in refused("optimizer=torch.optim.Adam", f"optimizer.arguments={arguments}")


# Machines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_is_asked_for_and_there_is_none(refused: Refused, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    sentence = refused(f"device={name}")
    assert f"device={name} was asked for" in sentence
    assert "device=cpu" in sentence


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", "cuda:x", "3"])
def test_devices_that_are_none(refused: Refused, name: str) -> None:
    assert "device" in refused(f"device={name}")


# Several at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["optimizer=sgd,adagrad,adma"], "adma"),
        (["task=logistic/breast_cancer,logistic/nope"], "logistic/nope"),
        (["task=logistic/breast_cancer,logistic/libsvm"], "task.path"),
        (["optimizer=sgd,adagrad", "optimizer.lr=0.1,-1"], "optimizer.lr"),
        (["optimizer.lr=0.1,0.2,nan"], "optimizer.lr"),
        (["optimizer=sgd,adagrad", "optimizer.epsilon=1e-8"], "optimizer.epsilon"),
        (["optimizer=adagrad,sgd", "optimizer.eps=1e-8"], "optimizer.eps"),
        (["batch_size.size=8,0"], "batch_size.size"),
        (["batch_size.size=8,570", "sampling=reshuffled"], "570"),
        (["seed=0,1,x"], "run.seed"),
        (["foo=1,2"], "foo"),
        (["lanes.lr=[1],[1,1]"], "lanes.lr"),
        (["lanes.lr=0.1,0.2"], "lanes.lr"),
        (["optimizer=sgd,torch.optim.LBFGS"], "LBFGS"),
        (["optimizer=sgd,os.system"], "os.system"),
        (["optimizer._target_=optim.rules.sgd,os.system"], "os.system"),
        (["device=cpu,cuda:99"], "cuda:99"),
        (["record=ends,nonsense"], "nonsense"),
        (["budget.steps=1,2", "budget.examples=1,2"], "budget"),
        (["optimizer.lr=interval(0,1)"], ""),
        (["optimizer=sgd", "seed=1,2", "nonsense"], "nonsense"),
    ],
)
def test_one_bad_value_among_good_ones_and_nothing_is_run(refused: Refused, words: list[str], named: str) -> None:
    assert named in refused("-m", *words)


def test_several_values_without_the_option_for_it(refused: Refused) -> None:
    for word in ("optimizer=sgd,adagrad", "optimizer.lr=0.1,0.2"):
        assert "-m" in refused(word)


def test_a_store_that_cannot_be_written_in_a_multirun(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "cannot be written" in refused("-m", "seed=0,1", store="file/store")


def test_bad_input_in_a_process_of_its_own(process: Callable[..., Any], tmp_path: Path) -> None:
    ended = process("run", "-m", "optimizer=sgd,adagrad", "seed=0,-1", f"store={tmp_path / 'store'}")
    check_one_sentence(ended.err)
    assert ended.code == 2
    assert not ended.out
    assert not (tmp_path / "store").exists()
    assert not list((tmp_path / "here").iterdir())


# What goes wrong later -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True])
def test_a_run_that_fails_is_one_sentence_too(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("made to fail")

    monkeypatch.setattr(runner, "_run", fail)
    words = ["-m", "seed=0,1"] if several else []
    ended = command(*words, "budget.steps=2", f"store={tmp_path / 'store'}")
    assert ended.code == 1
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: 1 of 1 runs failed; the first: ZeroDivisionError: made to fail")
    assert "made to fail" in next((tmp_path / "store").glob("jobs/*/error.txt")).read_text()


def test_a_disk_that_is_full_is_one_sentence(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "claim", full)
    ended = command("budget.steps=2", f"store={tmp_path / 'store'}")
    assert ended.code not in (0, None)
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: ")
    assert "No space left on device" in ended.err


@pytest.mark.slow
def test_runs_that_fail_in_other_processes_are_not_forgotten(process: Callable[..., Any], tmp_path: Path) -> None:
    words = ["budget.steps=2", f"store={tmp_path / 'store'}"]
    in_the_way = Store(tmp_path / "store").jobs / Job(tuple(config.request(["seed=1", *words]).runs)).id
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("")  # where the folder of the second job should be
    ended = process("run", "-m", "hydra/launcher=joblib", "seed=0,1", *words)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1, ended.err


def test_an_interruption_is_one_sentence(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_run", interrupt)
    ended = command("budget.steps=2", f"store={tmp_path / 'store'}")
    assert ended.code == 130
    assert ended.err == "interrupted; the same command goes on from the last checkpoint\n"


# From Python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["optimizer=adagard"], ["lanes.lr=[1,1]"], ["batch_size.size=0"], ["--cfg"], ["x"]])
def test_the_interface_from_python_raises_the_same_sentences(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        api.run([*words, f"store={tmp_path / 'store'}"])
    assert not (tmp_path / "store").exists()


def test_a_task_that_does_not_exist() -> None:
    with pytest.raises(SettingError, match="did you mean 'logistic/a9a'"):
        api.load_task("logistic/a9b")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["budget.examples=99", "schedule.warmup=30", "schedule.unit=steps", "batch_size.size=4"], "than the budget"),
        (["budget.steps=20", "schedule.warmup=100000", "schedule.unit=examples"], "longer than the budget"),
        (["wrapper=[ball,ball]"], "twice"),
        (["wrapper=[ball]", "wrapper.ball.radius=-1"], "wrapper.ball.radius must be greater than 0"),
        (["wrapper=[box]", "wrapper.upper=2"], "wrapper.box.upper"),
        (["wrapper.box.upper=2"], "wrapper=[box]"),
        (["probe=[top_eigenvalue]", "probe.every=2"], "probe.top_eigenvalue.every"),
        (["task.rotated=true", "task.storage=sparse"], "leave task.storage=sparse out"),
        (["wandb.mode=sideways", "logger=wandb"], "logger.mode"),
    ],
)  # fmt: skip
def test_what_is_new_is_checked_too(refused: Refused, words: list[str], wanted: str) -> None:
    assert wanted in refused(*words)
