"""Finding components by the names of their files: there is no central list to edit."""

import dataclasses
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from typing import Any

from optim.settings import SettingError, nearest


def names(package: str) -> list[str]:
    """Names of the components in a package: its modules, without importing any of them."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(f)) for f in folders]) if not m.name.startswith("_"))


def find(package: str, name: str, called: str) -> type[Any]:
    """The component class in `package/name.py`: the one dataclass that the file itself defines.

    `called` is what the user calls the kind ("optimizer"); raises SettingError for an unknown name.
    """
    options = names(package)
    if name not in options:
        raise SettingError(f"there is no {called} '{name}': {nearest(name, options)}")
    return only_class(f"{package}.{name}")


def only_class(module_name: str) -> type[Any]:
    """The one public dataclass that a module defines."""
    module = importlib.import_module(module_name)
    own = [
        c
        for key, c in vars(module).items()
        if isinstance(c, type) and dataclasses.is_dataclass(c) and c.__module__ == module_name and key[0] != "_"
    ]
    if len(own) != 1:
        raise SettingError(f"{module_name} must define exactly one public dataclass, not {len(own)}")
    return own[0]
