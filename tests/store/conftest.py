"""Fixtures of the tests of the store."""

from collections.abc import Iterator

import killing
import pytest


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[killing.Driver]:
    """One process that forks all others."""
    with killing.driver(tmp_path_factory.mktemp("lives")) as made:
        yield made
