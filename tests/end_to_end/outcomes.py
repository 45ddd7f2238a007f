"""What programs have written, and how they end."""

from pathlib import Path


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_failed(found, *said: str) -> None:
    assert found.code == 1, found
    assert found.err.startswith("error: ") and len(found.err.splitlines()) <= 2
    missing = [words for words in said if words not in found.err]
    assert not missing, f"{missing} not in: {found.err}"
    assert "Traceback" not in found.out + found.err
