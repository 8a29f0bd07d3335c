"""The words of a command line, made ready for Hydra, and Hydra's complaints made short.

Hydra knows only the keys that a YAML names; here every setting of a component can be given, whether a YAML names it or
not, so `optimizer.eps=1e-8` becomes `++optimizer.eps=1e-8` and is checked against the component's fields afterwards.
"""

import contextlib
import functools
import re
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from experiments import components
from optim.settings import SettingError, listed, nearest

_WORD = re.compile(r"^(?P<sign>\+\+|\+|~)?(?P<key>[A-Za-z_][\w./@-]*)(=(?P<value>.*))?$", re.DOTALL)
_VERBATIM = ("store", "task.path", "launcher.setup")
_OPEN = (*components.GROUPS, "lanes")  # keys below these are checked by the components, not by Hydra


def normalise(words: Sequence[str], settings: Sequence[str]) -> list[str]:
    """The overrides as Hydra needs them; `settings` are the valid keys beside the groups.

    Raises SettingError for an unknown key or choice, with the nearest valid name.
    """
    return [_one(word, tuple(settings)) for word in words]


@functools.lru_cache(maxsize=4096)
def parsed(word: str) -> Override:
    """A normalised override, read by Hydra."""
    return OverridesParser.create().parse_overrides([word])[0]


@functools.lru_cache(maxsize=4096)
def _one(word: str, settings: tuple[str, ...]) -> str:
    found = _WORD.match(word)
    if word.startswith("-") or found is None:
        if word.startswith("-"):
            return word
        raise SettingError(f"'{word}' is not an override: write key=value, such as optimizer.lr=0.1")
    sign, key, value = found["sign"] or "", found["key"], found["value"]
    if key.startswith("wandb."):  # what it is called elsewhere
        key = "logger." + key.removeprefix("wandb.")
    if value is None and sign != "~":
        raise SettingError(f"'{word}' is not an override: write {key}=value")
    top = key.partition(".")[0].partition("@")[0]
    own = key.removeprefix("optimizer.")
    if own != key and "." in own and own.partition(".")[0] in components.SEQUENCES:
        part = own.partition(".")[0]
        raise SettingError(f"'{word}': {part} is a part of its own, so write {own}={value}, or choose one: {part}=...")
    if top == "hydra" or key.startswith("hydra/"):
        return word
    if key in components.GROUPS:
        if sign != "~":
            _check_choices(key, value)
        return word
    if top in _OPEN and "." in key:
        return f"++{key}={_quoted(key, value)}" if sign != "~" else word
    if top not in (*components.GROUPS, *settings):
        raise SettingError(f"there is no setting '{top}': {nearest(top, [*components.GROUPS, *settings])}")
    return f"++{key}={_quoted(key, value)}" if sign != "~" and key == "lanes" else f"{sign}{key}={_quoted(key, value)}"


def is_value(word: str) -> bool:
    """Whether a normalised override sets a plain value, rather than choosing or removing a part."""
    found = _WORD.match(word)
    return found is not None and found["sign"] in (None, "++") and not _is_choice(found["key"])


def _is_choice(key: str) -> bool:
    return key in components.GROUPS or "/" in key or "@" in key or key.partition(".")[0] == "hydra"


def _quoted(key: str, value: str) -> str:
    """A path (or a shell command) with characters that may mean something to Hydra is quoted, to be taken as it is."""
    if key not in _VERBATIM or not value or value[0] in "'\"" or re.fullmatch(r"[\w./+-]+", value):
        return value
    return "'" + value.replace("'", "\\'").replace("${", "\\${") + "'"


def _check_choices(group: str, value: str) -> None:
    override = parsed(f"{group}={value}")
    if override.is_sweep_override():
        names = [str(v) for v in override.sweep_string_iterator()]
    else:
        chosen = override.value()
        names = [str(v) for v in chosen] if isinstance(chosen, list) else [str(chosen)]
    valid = components.choices(group)
    if group in components.SEVERAL and not override.is_sweep_override() and len(set(names)) < len(names):
        raise SettingError(f"{group}={value} names one of them twice")
    for name in names:
        name = name.strip("[]'\"") if group not in components.SEVERAL else name
        if group == "optimizer" and components.is_torch_class(name):
            components.register_torch_class(name)
        elif group in components.SEVERAL:
            for each in filter(None, re.split(r"[\[\],\s]+", name)):
                _require(group, each, valid)
        else:
            _require(group, name, valid)


def _require(group: str, name: str, valid: Sequence[str]) -> None:
    if name not in valid:
        advice = f"choose from: {listed(valid)}" if name in ("None", "") else nearest(name, valid)
        raise SettingError(f"there is no {group} '{name}': {advice}")


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turn a complaint of Hydra or OmegaConf into one sentence."""
    try:
        yield
    except OverrideParseException as problem:
        raise SettingError(f"'{problem.override}' cannot be read: put quotes around the value") from None
    except (HydraException, OmegaConfBaseException) as problem:
        lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
        text = lines[0] if lines else type(problem).__name__
        if "Ambiguous value" in text:
            text += " Give -m to sweep over several values, or quote the text."
        raise SettingError(text) from None
