"""The peers' Python, for tests that compare with published code."""

import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).with_name("install.sh")


@pytest.fixture(scope="session")
def peers():
    """The peers' Python; made here where it is missing."""
    made = subprocess.run(["bash", INSTALL], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return Path(made.stdout.splitlines()[-1]) / "bin" / "python"
