"""Engines that are not there: programs of their names that write down what they get."""

import os
from pathlib import Path
from typing import NamedTuple

# Its words, the text of a file among them, and then the exit code that is wanted.
RECORDER = """\
#!/usr/bin/env bash
name="$(basename "$0")"
printf '%s\\0' "$@" >> "{folder}/$name.words"
env -0 > "{folder}/$name.environment"
if [ -f "${{!#}}" ]; then cat "${{!#}}" > "{folder}/$name.file"; fi
exit "$(cat "{folder}/$name.code" 2>/dev/null || echo 0)"
"""


class Stubs(NamedTuple):
    """Stand-ins for tools; PATH has them first."""

    folder: Path

    @classmethod
    def first_on_path(cls, folder: Path, monkeypatch) -> "Stubs":
        (folder / "bin").mkdir(parents=True)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        return cls(folder)

    def add(self, *names: str) -> None:
        for name in names:
            (self.folder / "bin" / name).write_text(RECORDER.format(folder=self.folder))
            (self.folder / "bin" / name).chmod(0o755)

    def will_exit(self, name: str, code: int) -> None:
        (self.folder / f"{name}.code").write_text(str(code))

    def called(self, name: str) -> bool:
        return (self.folder / f"{name}.words").exists()

    def words(self, name: str) -> list[str]:
        """The words of its last calls, one after the other."""
        return (self.folder / f"{name}.words").read_text().split("\0")[:-1]

    def environment(self, name: str) -> dict[str, str]:
        entries = (self.folder / f"{name}.environment").read_text().split("\0")[:-1]
        return dict(entry.split("=", 1) for entry in entries)

    def file(self, name: str) -> str:
        """The file that its last word named."""
        return (self.folder / f"{name}.file").read_text()
