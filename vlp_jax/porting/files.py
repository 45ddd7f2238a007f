"""Files of weights: safetensors alone. Pickles are refused, because they run code."""

import contextlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from vlp_jax.core.errors import ConfigError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX = ".index.json"  # beside 'model.safetensors', where the weights are in parts


def read_safetensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    """{key: array} of `name` in a folder, or of the parts that its index lists.

    Half precision becomes float32, which holds the same numbers; double precision is
    rounded to it. ConfigError where there is no such file, only a pickle, or a damaged
    one, or where it holds a type that NumPy does not know.
    """
    index = folder / f"{name}{INDEX}"
    paths = [folder / name]
    if index.is_file() and not paths[0].is_file():  # as transformers chooses
        listed = read_json(index).get("weight_map")
        parts = set(listed.values()) if isinstance(listed, dict) and listed else {None}
        if not all(isinstance(part, str) for part in parts):
            raise ConfigError(f"{index} has no weight_map of files; fetch it again")
        paths = [folder / part for part in sorted(parts)]
    found: dict[str, np.ndarray] = {}
    for path in paths:
        if path.resolve().parent != folder.resolve() and path.parent != folder:
            raise ConfigError(f"{index} names {path}, which is not in its folder")
        found |= _read(path)
    return found


def _read(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        _explain_missing(path)
    try:
        with safe_open(path, framework="np") as file:
            return {key: _plain(file, key) for key in file.keys()}  # noqa: SIM118
    except (AttributeError, TypeError) as error:
        raise ConfigError(
            f"{path} holds numbers of a type that cannot be read ({error}); expected "
            "float32, float16 or bfloat16"
        ) from None
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        size = path.stat().st_size
        raise ConfigError(
            f"{path} is damaged or no safetensors file ({size:,} bytes: "
            f"{' '.join(str(error).split())[:160]}); fetch it again"
        ) from None


def _plain(file, key: str) -> np.ndarray:
    array = file.get_tensor(key)
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return array.astype(np.float32) if is_float else array


def _explain_missing(path: Path) -> None:
    pickles = sorted(p.name for p in path.parent.glob("*") if p.suffix in PICKLES)
    if pickles:
        raise ConfigError(
            f"{path.parent} holds {pickles[0]}, a pickle, which can run any code when "
            f"it is opened; expected {path.name}. Convert it where you trust it: "
            "safetensors.torch.save_file(torch.load(..., weights_only=True), ...)"
        )
    raise ConfigError(f"no weights at {path}; expected a safetensors file there")


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Marked as PyTorch's, as transformers asks for."""
    from safetensors.numpy import save_file

    # It writes memory as it lies, whatever the strides, and knows no NumPy scalars.
    plain = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    path.touch()
    mode = path.stat().st_mode  # of a new file; it leaves one for the owner alone
    save_file(plain, path, metadata={"format": "pt"})
    path.chmod(mode)


def read_json(path: Path) -> dict:
    """A JSON object; ConfigError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is no JSON; fetch it again") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object; fetch it again")
    return found


@contextlib.contextmanager
def said_by(file: Path | str) -> Iterator[None]:
    """ConfigError that names the file whose content was of no use within the block.

    Their configs have hundreds of settings, any of which may be missing or of another
    type: what that breaks is caught here and not asked for one by one.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as e:
        said = " ".join(f"{type(e).__name__}: {e}".split())[:200]
        raise ConfigError(
            f"{file} lacks a setting or has one of another type ({said}); fetch it "
            "again"
        ) from e


def write_json(path: Path, content: Mapping) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
