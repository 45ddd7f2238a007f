"""The command line: what it gives a program, what it refuses, how programs end.

Programs here are functions, with flags of their own; real ones run in end_to_end/.
"""

import functools
import sys
from pathlib import Path

import pytest
from absl import app, flags, logging
from ml_collections import config_flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError, Preempted, RunError

ROOT = Path(__file__).parents[1]
QUICKSTART = "configs/quickstart.py"


def run_parsed(main, flags_parser):
    """What absl does for a program, with the flags of a test."""
    main(flags_parser(sys.argv))


def given(words: tuple[str, ...], flag: str, patch) -> None:
    """These words are the command line of a program that has a config."""
    values = flags.FlagValues()
    flags.DEFINE_integer("verbosity", 0, "", flag_values=values)
    patch.setattr(flags, "FLAGS", values)
    for module, name in (
        (flags, "DEFINE_bool"),
        (config_flags, "DEFINE_config_file"),
    ):
        define = functools.partial(getattr(module, name), flag_values=values)
        patch.setattr(module, name, define)
    patch.setattr(sys, "argv", ["program", *words])
    patch.setattr(app, "run", run_parsed)
    cli.define_config("The recipe.", flag)


@pytest.fixture
def run(monkeypatch):
    """Runs main() as a program with some flags; returns its exit code."""
    monkeypatch.chdir(ROOT)

    def run_program(main, *words: str, flag: str = "config", on_hosts: bool = False):
        quiet = []
        with monkeypatch.context() as patch:
            given(words, flag, patch)
            patch.setattr(logging, "set_verbosity", quiet.append)
            try:
                cli.run(main, on_hosts)
            except SystemExit as end:
                return end.code
            assert quiet == [logging.FATAL]
            return 0

    return run_program


# ---- what a program is given


def test_a_config_has_the_settings_of_the_command_line(run):
    words = f"--config={QUICKSTART}", "--config.batch_size=8", "--config.seed", "3"
    found = []
    main = functools.partial(cli.get_config, "objectives", QUICKSTART)
    assert run(lambda: found.append(main()), *words) == 0
    assert (found[0].batch_size, found[0].seed) == (8, 3)


def test_none_leaves_a_setting_open(run):
    words = "evaluation.every", "model.text.kind", "initialise.parts", "tokenizer.path"
    main = functools.partial(cli.get_config, "objectives", QUICKSTART)
    found = []
    flags_given = [f"--config.{word}=None" for word in words]
    code = run(lambda: found.append(main()), f"--config={QUICKSTART}", *flags_given)
    assert code == 0
    for word in words:
        *path, key = word.split(".")
        block = functools.reduce(lambda block, part: block[part], path, found[0])
        assert block[key] is None


def test_the_file_of_a_config_is_known(run):
    files = []
    assert run(lambda: files.append(cli.config_file()), f"--config={QUICKSTART}") == 0
    assert files == [QUICKSTART]


def test_without_a_config_there_is_none(run):
    found = []
    assert run(lambda: found.append(cli.get_config("objectives", QUICKSTART))) == 0
    assert found == [None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config=gone.py",), "gone.py"),
        (("--config=configs/evaluate/image_folder.py",), "it has no 'objectives', so"),
        (("--help_config",), f"--help_config needs a config: --config={QUICKSTART}"),
        (
            (f"--config={QUICKSTART}", "--config.batchsize=8"),
            "unknown setting 'batchsize'; did you mean 'batch_size'? (in "
            "--config.batchsize=8; --help_config lists all)",
        ),
        (
            (
                f"--config={QUICKSTART}",
                "--config.seed=1",
                "--config.model.image.wdth=8",
            ),
            "(in --config.model.image.wdth=8; --help_config lists all)",
        ),
        (
            (f"--config={QUICKSTART}", "--config.seed=1", "--config.batch_size=many"),
            "(in --config.batch_size=many; --help_config lists all)",
        ),
        (
            (f"--config={QUICKSTART}", "--config.batch_size=None"),
            "flag --config.batch_size=None: it needs a value, as int (in "
            "--config.batch_size=None; --help_config lists all)",
        ),
        (
            (f"--config={QUICKSTART}", "--config.evaluation.evry=None"),
            "(in --config.evaluation.evry=None; --help_config lists all)",
        ),
        (
            ("--config.steps=None",),
            "--config.steps changes a setting of a file; give --config=FILE.py",
        ),
        (
            ("--config.steps=3",),
            "--config.steps changes a setting of a file; give --config=FILE.py",
        ),
        (
            ("--help_confg",),
            "Unknown command line flag 'help_confg'; did you mean: help_config? "
            "(--help lists the flags)",
        ),
        (
            (f"--config={QUICKSTART}", "more"),
            "unexpected argument 'more'; settings are --flag=value",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(run, capsys, words, said):
    code = run(lambda: cli.get_config("objectives", QUICKSTART), *words)
    err = capsys.readouterr().err
    assert code == 78 and err.startswith("error: ")
    assert said in err and len(err.splitlines()) == 1


def test_a_file_that_makes_no_config(run, capsys, tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text("def get_config():\n    return 3\n")
    main = functools.partial(cli.get_config, "objectives", QUICKSTART)
    assert run(main, f"--config={path}") == 78
    assert "its get_config() returns no ConfigDict; see for" in capsys.readouterr().err
    path.write_text("import nonsense_\n")
    assert run(main, f"--config={path}") == 78
    said = f"No module named 'nonsense_' (in --config={path}; --help_config lists all)"
    assert said in capsys.readouterr().err


def test_all_settings_are_listed_with_their_defaults(run, capsys):
    def main():
        cli.get_config("objectives", QUICKSTART)
        raise AssertionError("it goes on after the list")

    words = "--config.data.train.size=7", "--help_config"
    assert run(main, f"--config={QUICKSTART}", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "--config.data.train.size=7" in lines
    assert "--config.data.train.split=train  (default)" in lines
    assert "--config.data.train.root  (not given)" in lines
    assert all(line.startswith("--config.") for line in lines)


def test_a_program_may_call_its_config_otherwise_and_know_its_defaults(run, capsys):
    def main():
        cli.get_config("engine", "launch/local.py", "spec", lambda spec: {"gpus": 8})

    spec = "--spec=launch/slurm.py"
    assert run(main, spec, "--help_spec", "--spec.nodes=3", flag="spec") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"--spec.engine=slurm", "--spec.nodes=3"} <= set(lines)
    assert run(main, spec, "--spec.nods=3", flag="spec") == 78
    said = "did you mean 'nodes'? (in --spec.nods=3; --help_spec lists all)"
    assert said in capsys.readouterr().err


def test_the_words_after_two_dashes_are_no_flags(monkeypatch):
    words = ["launch", "--submit", "--", "python", "--", "--help"]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.take_command() == ["python", "--", "--help"]
    assert sys.argv == ["launch", "--submit"]
    assert cli.take_command() == [] and sys.argv == ["launch", "--submit"]


def test_output_goes_to_a_folder(tmp_path):
    for _ in range(2):
        cli.prepare_output(str(tmp_path / "a" / "b"))
        assert (tmp_path / "a" / "b").is_dir()
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for path in (file, file / "out"):
        with pytest.raises(ConfigError, match="--output=.*cannot be a folder: .*; na"):
            cli.prepare_output(str(path))
    assert file.read_text() == "mine"


# ---- how it ends


@pytest.mark.parametrize(
    ("error", "code", "out", "err"),
    [
        (None, 0, "", ""),
        (ConfigError("a [b] is wrong"), 78, "", "error: a [b] is wrong\n"),
        (RunError("the disk is full"), 1, "", "error: the disk is full\n"),
        (Preempted(7), 75, "Told to end: step 7 is saved; the same", ""),
        (
            KeyboardInterrupt(),
            130,
            "",
            "error: interrupted; the same command starts it again\n",
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, BaseException) else "",
)
def test_exit_codes(run, capsys, error, code, out, err):
    def main():
        if error:
            raise error

    assert run(main) == code
    said = capsys.readouterr()
    assert said.out.startswith(out) and bool(said.out) == bool(out)
    assert said.err == err


def test_a_bug_keeps_its_traceback(run):
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_programs_on_several_hosts_join_the_others_first(run, monkeypatch):
    calls = []
    monkeypatch.setattr(cli.hosts, "start", lambda: calls.append("start"))
    assert run(lambda: calls.append("alone")) == 0
    assert run(lambda: calls.append("main"), on_hosts=True) == 0
    assert calls == ["alone", "start", "main"]
