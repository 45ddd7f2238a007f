"""Eight CPU devices, a compilation cache, and `long` tests only when asked for."""

import os
import signal
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

# What is started with & or nohup ignores these, and so would what the tests start.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

import pytest  # noqa: E402

from tests import faults  # noqa: E402

COUNTS = faults.Counts()


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption("--fault-table", help="write the fault matrix to this page")


def pytest_runtest_logreport(report):
    COUNTS.reported(report)


def pytest_terminal_summary(terminalreporter, config):
    if not COUNTS.found:
        return
    terminalreporter.section("faults")
    for name in sorted(COUNTS.found, key=list(faults.FAULTS).index):
        what = faults.FAULTS[name]
        terminalreporter.line(f"{name:4} {COUNTS.line(name)}: {what}")
    if config.getoption("--fault-table"):
        faults.write_table(Path(config.getoption("--fault-table")), COUNTS)


def pytest_collection_modifyitems(config, items):
    faults.collected(items)
    if config.getoption("--all"):
        return
    skip = pytest.mark.skip(reason="long; run with --all")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """The folder of a run that others start from; see tests/few_shot.py."""
    from tests import few_shot

    return few_shot.pretrain(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="session")
def adapted(pretrained, tmp_path_factory):
    """(folder, run, last state) of one with LoRA and learned context."""
    from tests import few_shot

    return few_shot.adapt(pretrained, tmp_path_factory.mktemp("adapted"))
