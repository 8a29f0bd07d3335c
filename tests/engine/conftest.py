"""What every test of the engine shares."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch):
    """Nothing here is about power cuts, and waiting for the disk is a quarter of the time of a short run."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
