"""Endpoints FORMAT:PATH, where a model is read from or written to.

vlp:DIR         a workdir (its newest step), a step, or an imported checkpoint
hf:DIR          the folder that transformers' from_pretrained loads, or a hub name
open_clip:DIR   open_clip_config.json and open_clip_model.safetensors
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

from vlp_jax import trained
from vlp_jax.adapting import merged_config
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.imported import write_imported
from vlp_jax.checkpoint.steps import read_checkpoint
from vlp_jax.checkpoint.storage import WEIGHTS, check_kept
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import lookup
from vlp_jax.data.standalone_tokenizer import save_standalone
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.models.outputs import inference, method_of
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.portable import (
    OTHER_VOCABULARY,
    Portable,
    from_settings,
    merged_parameters,
    read_parameters,
)
from vlp_jax.porting import big_vision, hf, hub, open_clip, programs
from vlp_jax.porting.files import said_by


def split(endpoint: str, default: str | None = None) -> tuple[str, str]:
    """('hf', 'DIR') of 'hf:DIR'; a path without a format is of the default one."""
    kind, colon, path = endpoint.partition(":")
    if not colon or kind not in FORMATS:
        if default is not None and not (colon and kind.isidentifier()):
            return default, endpoint
        raise ConfigError(
            f"{endpoint!r} is no endpoint; expected vlp:DIR, hf:DIR, open_clip:DIR, "
            "big_vision:FILE (as a source) or export:DIR (as a target)"
        )
    if not path:
        raise ConfigError(f"{endpoint!r} names no folder; give {kind}:DIR")
    return kind, path


def read(
    endpoint: str, weights: str = "model", tokenizer: str | None = None
) -> Portable:
    """The model at an endpoint.

    weights: model or ema, where we wrote it. tokenizer: a folder or hub name, where the
    endpoint has none of its own.
    """
    kind, path = split(endpoint, "vlp")
    if kind == "vlp":
        return _read_vlp(path, weights)
    if weights != "model":
        raise ConfigError(f"{endpoint} has one set of weights; leave out {weights!r}")
    return lookup(READ, kind, "format to read a model from,")(path, tokenizer)


def load(
    endpoint: str, batch_size: int, weights: str = "model", tokenizer: str | None = None
) -> trained.LoadedCheckpoint:
    """The model at an endpoint on all devices, as `read` finds it.

    A path without a format is a checkpoint of ours.
    """
    kind, path = split(endpoint, "vlp")
    if kind == "vlp":
        return trained.load_checkpoint(path, batch_size, weights)
    model = read(endpoint, weights, tokenizer)
    predictor = model.predictor(MeshSpec().make(), batch_size)
    parameters = trees.count(predictor.variables["params"])
    return trained.LoadedCheckpoint(
        endpoint, model.step, model.config, predictor, parameters
    )


def target(endpoint: str) -> tuple[str, Path]:
    """(the format, the folder) to write; ConfigError where that is there already."""
    kind, path = split(endpoint)
    folder = Path(path).expanduser().absolute()
    if folder.exists():
        raise ConfigError(f"{folder} is there already; name another folder")
    lookup(WRITE, kind, "format to write a model in,")
    return kind, folder


def write(endpoint: str, model: Portable) -> Path:
    """Writes a model, whole or not at all; the folder must not be there yet."""
    kind, folder = target(endpoint)
    WRITE[kind](folder, model)
    return folder


def _read_vlp(path: str, weights: str) -> Portable:
    lookup(WEIGHTS, weights, "weights")

    def read(folder: Path) -> Portable:
        check_kept(folder, weights)
        config = trained.for_any_machine(trained.checkpoint_config(folder))
        tokenizer = trained.saved_tokenizer(folder, config)
        return Portable(
            config.name or "vlp_jax",
            merged_config(config),
            tokenizer,
            merged_parameters(config, tokenizer, read_parameters(folder, weights)),
            description.read_json(folder, trained.PROGRESS)["step"],
            trained.answers_of(folder),
        )

    return read_checkpoint(path, read)


def _write_vlp(folder: Path, model: Portable) -> None:
    config = json.loads(model.config.to_json_best_effort())
    with tempfile.TemporaryDirectory() as name:
        model.tokenizer.save(name)
        tokenizer = description.read_folder(name)
    files = {f"{trained.TOKENIZER}/{name}": data for name, data in tokenizer.items()}
    files[trained.CONFIG] = description.to_json(config)
    if model.answers:
        files[trained.ANSWERS] = description.to_json(list(model.answers))
    files[trained.PROGRESS] = description.to_json({"step": model.step})
    write_imported(folder, model.variables(), files)


def _read_foreign(form: ModuleType, path: str, tokenizer: str | None) -> Portable:
    """Of porting/hf.py or porting/open_clip.py."""
    folder = hub.folder_of(path)
    if not folder.is_dir():
        raise ConfigError(f"no folder {str(folder)!r}; expected one with {form.CONFIG}")
    with said_by(folder / form.CONFIG):
        return _read_folder(form, folder, path, tokenizer)


def _read_folder(
    form: ModuleType, folder: Path, path: str, tokenizer: str | None
) -> Portable:
    settings, preprocessing, parameters = form.read(folder)
    known = form.tokens(folder)
    words = Tokenizer.load(
        tokenizer or str(folder),
        known.length,
        known.canonicalise,
        add_start=known.start_id is not None or None,
    )
    start_id = int(words("")[0][0, 0])
    if known.start_id not in (None, start_id):
        raise ConfigError(
            f"{path}: the decoder begins with the token {known.start_id}, and its "
            f"tokenizer with {start_id}; give a tokenizer whose texts begin so"
        )
    if known.vocab_size != words.vocab_size:
        raise ConfigError(
            f"{path}: {form.CONFIG} says {known.vocab_size:,} tokens, and the "
            f"tokenizer has {words.vocab_size:,}; {OTHER_VOCABULARY}"
        )
    if known.eos_id not in (None, words.eos_id):
        raise ConfigError(
            f"{path}: the model pools texts at the token {known.eos_id}, and its "
            f"tokenizer ends them with {words.eos_id}; they belong to different models"
        )
    name = Path(path).name
    return from_settings(name, settings, preprocessing, words, parameters)


def _read_big_vision(path: str, tokenizer: str | None) -> Portable:
    if tokenizer is None:
        raise ConfigError(
            f"{path} comes without a tokenizer; name it, as --tokenizer="
            "google/siglip-base-patch16-224 or a folder of it"
        )
    settings, preprocessing, parameters, length = big_vision.read(
        Path(path).expanduser()
    )
    words = Tokenizer.load(tokenizer, length, canonicalise="siglip")
    return from_settings(Path(path).stem, settings, preprocessing, words, parameters)


def _write_foreign(form: ModuleType, folder: Path, model: Portable) -> None:
    form.check(model.description)
    with _whole(folder) as half:
        form.write(half, model.description, model.parameters)
        sees_mask = model.config.model.text.pool != "last"
        save_standalone(model.tokenizer, half, sees_mask)


def _write_programs(folder: Path, model: Portable) -> None:
    module, shapes = model.model(), model.shapes()
    if method_of(module, "image_embedding") is None:
        raise ConfigError(
            f"export holds programs that embed pictures and texts, and a "
            f"{type(module).__name__} has no embeddings; export it with hf:DIR"
        )

    def encode(output: str, *names: str):
        run = inference(module, output)
        return lambda tree, *x: run(
            trees.apart(tree, shapes), **dict(zip(names, x, strict=True))
        )

    encoders = (
        encode("image_embedding", "image"),
        encode("text_embedding", "text_tokens", "text_mask"),
    )
    with _whole(folder) as half:
        programs.write(half, model.description, model.parameters, *encoders)
        save_standalone(model.tokenizer, half, sees_mask=True)


class _whole:
    """A folder under another name, renamed when everything is in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.half = folder.with_name(f".{folder.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        try:
            self.half.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(
                f"{self.folder} cannot be written: {error.strerror}; name another"
            ) from None
        return self.half

    def __exit__(self, kind, error, _) -> None:
        if kind is None:
            self.half.rename(self.folder)
        shutil.rmtree(self.half, ignore_errors=True)
        if isinstance(error, OSError):
            raise ConfigError(
                f"{self.folder} cannot be written: {error.strerror}"
            ) from None


READ: dict[str, Callable[[str, str | None], Portable]] = {
    "hf": partial(_read_foreign, hf),
    "open_clip": partial(_read_foreign, open_clip),
    "big_vision": _read_big_vision,
}
WRITE: dict[str, Callable[[Path, Portable], None]] = {
    "vlp": _write_vlp,
    "hf": partial(_write_foreign, hf),
    "open_clip": partial(_write_foreign, open_clip),
    "export": _write_programs,
}
FORMATS = tuple(dict.fromkeys(("vlp", *READ, *WRITE)))
