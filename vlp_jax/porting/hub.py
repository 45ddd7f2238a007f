"""The Hugging Face hub: folders from there, and folders to there."""

import re
from pathlib import Path

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say

NAME = re.compile(r"[\w.-]+/[\w.-]+")
SECONDS = 10  # of the first question: whether the hub can be reached
# Weights as safetensors alone, what describes them, and tokenizers.
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.npz"]


def folder_of(path: str) -> Path:
    """A folder that is there, or else the hub's repository of that name.

    The hub's files are kept in its cache. ConfigError where neither can be had.
    """
    folder = Path(path).expanduser()
    if folder.exists() or not NAME.fullmatch(path):
        return folder
    from huggingface_hub import HfApi, snapshot_download

    try:
        return Path(
            snapshot_download(path, allow_patterns=WANTED, local_files_only=True)
        )
    except Exception:
        pass  # not in the cache, or not all of it
    try:
        HfApi().model_info(path, timeout=SECONDS)
        say(f"  fetching  {path} from the hub")
        return Path(snapshot_download(path, allow_patterns=WANTED))
    except Exception as error:
        raise ConfigError(
            f"{path!r} is no folder here, and the hub does not give it "
            f"({first_line(error)})\ngive a folder, or fetch it where a network is: hf "
            f"download {path} --local-dir DIR"
        ) from error


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"--upload={name} is no name of a repository; give ORG/NAME")


def upload(folder: Path, name: str, private: bool) -> str:
    """Uploads an export with its card; the address of the repository.

    RunError where the hub refuses or cannot be reached, or where the repository is
    there and public though a private one was asked for: the folder stays as it is.
    """
    from huggingface_hub import HfApi

    check_name(name)
    try:
        api = HfApi()
        # What is there stays as public as it is, whatever create_repo is asked for.
        if private and api.repo_exists(name) and not api.model_info(name).private:
            raise RunError(
                f"{name} is there already and public; {folder} was not uploaded: name "
                "another repository, or give --noprivate"
            )
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Written by vlp_jax.port"
        )
    except RunError:
        raise
    except Exception as error:
        more = " --private" if private else ""
        raise RunError(
            f"{folder} could not be uploaded to {name} ({first_line(error)}); log in "
            f"with `hf auth login`, then: hf upload {name} {folder}{more}"
        ) from error
    return str(address)


def first_line(error: Exception) -> str:
    """The kind of an error, and the first line of what it says."""
    line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {line}"[:200]
