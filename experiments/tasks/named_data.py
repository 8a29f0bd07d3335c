"""Settings of tasks whose data have a name or are a file of the user's."""

from dataclasses import dataclass

import data
from data import DataSet
from optim.settings import SettingError, setting


@dataclass(kw_only=True)
class NamedData:
    """A part of tasks: a registered data set, or a file in LIBSVM format."""

    data: str | None = setting(None, doc="name of a registered data set, such as libsvm/a9a")
    path: str | None = setting(None, doc="a file of your own in LIBSVM format instead: plain, .bz2, .gz or .xz")
    features: int | None = setting(None, minimum=1, doc="columns of that file (default: its largest index)")

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise SettingError("name either task.data (a registered set) or task.path (a file of your own)")
        if self.features is not None and self.path is None:
            raise SettingError("task.features belongs to task.path; a registered set knows its columns")
        super().__post_init__()  # type: ignore[misc]  # of the task that this is a part of

    def content(self) -> dict[str, str]:
        """See `Task.content`."""
        digest = data.digest(self.data) if self.data else data.digest_file(str(self.path))
        columns = data.columns(self.data) if self.data else self.features
        return {"data": digest, "path": "", "features": str(columns or "")}

    def loaded(self) -> DataSet:
        """The data set as it was read."""
        return data.load(self.data) if self.data else data.load_file(str(self.path), self.features)
