"""Stand-ins for the tools of engines, and an empty working directory."""

from pathlib import Path

import pytest

from tests.launching.stubs import Stubs


@pytest.fixture
def stubs(tmp_path, monkeypatch) -> Stubs:
    return Stubs.first_on_path(tmp_path / "stubs", monkeypatch)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
