"""The words of commands that take plain options: key=value."""

from collections.abc import Sequence
from typing import Any

from optim import settings
from optim.settings import SettingError, nearest


def read(words: Sequence[str], cls: type[Any], called: str) -> Any:
    """An object of the dataclass `cls`, whose fields are the options. Raises SettingError for words that are none."""
    import yaml

    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingError(f"'{word}' is not an option: write key=value with one of {settings.names(cls)}")
        if key not in settings.names(cls):
            raise SettingError(f"there is no option '{key}': {nearest(key, settings.names(cls))}")
        values[key] = yaml.safe_load(value) if value in ("true", "false") else value
    return settings.build(cls, values, called)
