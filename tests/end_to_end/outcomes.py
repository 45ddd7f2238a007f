"""What programs have written, and how they end."""

import hashlib
from pathlib import Path

from vlp_jax.core.errors import CONFIG_WRONG, FAILED


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def fingerprint(folder: Path) -> dict[str, str]:
    """{path: digest} of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files_of(folder)
    }


def assert_error(found, code: int, *said: str) -> None:
    """It ended with this code and an error of at most two lines, of these words."""
    assert found.code == code, found
    assert found.err.startswith("error: ") and len(found.err.splitlines()) <= 2, found
    missing = [words for words in said if words not in found.err]
    assert not missing, f"{missing} not in: {found.err}"
    assert "Traceback" not in found.out + found.err


def assert_failed(found, *said: str) -> None:
    assert_error(found, FAILED, *said)


def assert_explained(found, *said: str) -> None:
    """The command was wrong, and no step was done."""
    assert_error(found, CONFIG_WRONG, *said)
    assert not [line for line in found.out.splitlines() if line.startswith("step ")]


def assert_refused(program, name: str, flags, said, workdir: Path, folder: Path):
    """A wrong command is explained and touches nothing.

    In its flags and in the words W is the folder of a finished run, DIR one with
    captions.csv.
    """
    (folder / "captions.csv").write_text("image,caption\na.jpg,a picture\n")

    def fill_in(text: str) -> str:
        return text.replace("=W", f"={workdir}").replace("DIR", str(folder))

    before = [fingerprint(place) for place in (workdir, folder)]
    assert_explained(program(name, *map(fill_in, flags)), *map(fill_in, said))
    assert [fingerprint(place) for place in (workdir, folder)] == before
