"""A trained model from nothing but the path of its checkpoint."""

import dataclasses
from pathlib import Path

import jax
from ml_collections import ConfigDict

from vlp_jax import build
from vlp_jax.adapting import class_names_of, has_adapters, make_adapters
from vlp_jax.checkpoint import description
from vlp_jax.checkpoint.steps import CHECKPOINTS, read_checkpoint
from vlp_jax.checkpoint.storage import WEIGHTS, check_kept, restore_item
from vlp_jax.core import trees
from vlp_jax.core.logs import say
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import PyTree
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.models import PARTS
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.parallel.sharding import REPLICATED, placed_shapes
from vlp_jax.settings import is_read
from vlp_jax.transfer.adapters import NAME as ADAPTERS
from vlp_jax.transfer.initialise import InitialWeights, Match

# Files of a checkpoint's description.
CONFIG, TOKENIZER, PROGRESS = "config.json", "tokenizer", "progress.json"
DATA, ANSWERS = "data.json", "answers.json"
# The parameters that a tokenizer belongs to, of whichever a model has.
TOKEN_EMBEDDINGS = ("text/token_embedding", "decoder/token_embedding")
ANSWER_HEAD = "answer_head/out/bias"  # and that of the answers that are classes


def saved_tokenizer(folder: Path, config: ConfigDict) -> Tokenizer:
    """The tokenizer that lies beside the weights."""
    return Tokenizer.load(
        str(folder / description.FOLDER / TOKENIZER),
        length=config.tokenizer.length,
        canonicalise=config.tokenizer.canonicalise,
    )


def saved_answers(folder: Path, config: ConfigDict) -> tuple[str, ...]:
    """The answers that a run goes on with; () where its config reads no questions."""
    return answers_of(folder) if is_read(config, "questions") else ()


def answers_of(folder: Path) -> tuple[str, ...]:
    """The answers that are classes of the model of a step; () where it has none."""
    path = folder / description.FOLDER / ANSWERS
    return tuple(description.read_json(folder, ANSWERS)) if path.exists() else ()


@dataclasses.dataclass(frozen=True)
class LoadedCheckpoint:
    """A model ready for use, built from nothing but its path.

    path: the folder of a step; of a foreign model its endpoint, such as 'hf:DIR'.
    """

    path: Path | str
    step: int
    config: ConfigDict
    predictor: ModelPredictor
    parameters: int

    @property
    def workdir(self) -> Path | None:
        """That of the run whose step it is; None for whatever no run has left there."""
        of_run = isinstance(self.path, Path) and self.path.parent.name == CHECKPOINTS
        return self.path.parents[1] if of_run else None


def checkpoint_config(path: Path | str) -> ConfigDict:
    """The resolved config that a workdir's newest step or a step was trained with."""
    return ConfigDict(
        read_checkpoint(
            path,
            lambda folder: description.read_json(folder, CONFIG),
            (description.FOLDER,),
        )
    )


def for_any_machine(config: ConfigDict) -> ConfigDict:
    """The config without what only the machine that trained may have: cuDNN."""
    for name in PARTS:
        part = config.model.get(name)
        if part is not None and part.get("attention") is not None:
            part.attention = "xla"
    return config


def load_checkpoint(path: str, batch_size: int, weights: str) -> LoadedCheckpoint:
    """Loads a workdir's newest step or a step folder; `weights`: model or ema."""
    return read_checkpoint(path, lambda folder: _load(folder, batch_size, weights))


def load_another(loaded: LoadedCheckpoint, path: str, weights: str) -> LoadedCheckpoint:
    """Another step of the run that `loaded` belongs to, without compiling again.

    One that was trained with other settings, or that has adapters, is loaded from its
    own description.
    """

    def load(folder: Path) -> LoadedCheckpoint:
        predictor = loaded.predictor
        other = for_any_machine(checkpoint_config(folder))
        if other != loaded.config or has_adapters(other):
            return _load(folder, predictor.batch_size, weights)
        like = placed_shapes(
            predictor.variables, jax.tree.map(lambda x: x.sharding, predictor.variables)
        )
        variables = restore_variables(folder, like, weights)
        return dataclasses.replace(
            loaded,
            path=folder,
            step=description.read_json(folder, PROGRESS)["step"],
            predictor=predictor.with_variables(variables),
        )

    return read_checkpoint(path, load)


def _load(folder: Path, batch_size: int, weights: str) -> LoadedCheckpoint:
    config = for_any_machine(checkpoint_config(folder))
    preprocessing = build.make_preprocessing(config)
    tokenizer = saved_tokenizer(folder, config)
    answers = answers_of(folder)
    model = build.make_model(config, preprocessing, tokenizer, len(answers))
    init = build.init_function(model, preprocessing.image_size, tokenizer.length)
    mesh = MeshSpec().make()
    adapters = make_adapters(config, tokenizer)
    shapes = dict(jax.eval_shape(adapters.extended(init), jax.random.key(0)))
    everywhere = jax.sharding.NamedSharding(mesh, REPLICATED)
    like = placed_shapes(shapes, jax.tree.map(lambda x: everywhere, shapes))
    variables = adapters.merged(restore_variables(folder, like, weights))
    predictor = ModelPredictor(
        model,
        variables,
        preprocessing,
        tokenizer,
        mesh,
        batch_size,
        answers,
        class_names_of(config),
    )
    parameters = trees.count(variables["params"])
    step = description.read_json(folder, PROGRESS)["step"]
    return LoadedCheckpoint(folder, step, config, predictor, parameters)


def restore_variables(
    folder: Path, like: dict[str, PyTree], weights: str
) -> dict[str, PyTree]:
    """The variables of a checkpoint, placed as in `like`."""
    lookup(WEIGHTS, weights, "weights")
    check_kept(folder, weights)
    if weights == "ema":
        return trees.apart(restore_item(folder, "ema", trees.union(like)), like)
    return dict(restore_item(folder, "model", like))


def describe_initial(
    initial: InitialWeights, found: Match, config: ConfigDict, there: ConfigDict
) -> None:
    """Prints what a run takes from another checkpoint, and what it does not.

    config: the run's, resolved; there: the checkpoint's. Shapes do not show every
    setting (heads, activation): those in which the two differ are printed too.
    """
    average = "moving average of " if initial.weights == "ema" else ""
    say(f"  initial   {average}{initial.folder}")
    names = ", ".join(trees.top_names(found.used))
    say(f"  taken     {len(found.used)} arrays of {names}")
    for path, shapes in found.resized.items():
        say(f"  resized   {path} {shapes}")
    left = {
        "missing there (they keep their initial values)": [
            path for path in found.missing if not path.startswith(f"{ADAPTERS}/")
        ],
        "unexpected (not used)": found.unexpected,
    }
    if any(left.values()):
        say(f"  left      {trees.listed(left)}")
    if set(TOKEN_EMBEDDINGS) & set(found.used):
        say("  text      with the checkpoint's tokenizer, to which the ids belong")
    if ANSWER_HEAD in found.used:
        say("  answers   those that are classes there, to which the scores belong")
    for line in _unlike(found, config, there):
        say(f"  differs   {line}")


# Settings of how a tower computes or trains, not of what it computes.
FREE = (
    *("size", "remat", "scan", "dtype", "attention", "dropout", "patch_dropout"),
    *("image_size", "frozen_statistics"),
)


def _unlike(found: Match, config: ConfigDict, there: ConfigDict) -> list[str]:
    """Settings of the towers that are taken in which run and checkpoint differ."""
    sections = {f"{name}/": (f"model.{name}.",) for name in PARTS}
    sections["image/"] += ("preprocessing.",)
    chosen = tuple(
        section
        for start, names in sections.items()
        if any(path.startswith(start) for path in found.used)
        for section in names
    )
    there, here = build.settings(there), build.settings(config)
    return [
        f"{path}: {_plain(there[path])} there, {_plain(here[path])} here"
        for path in sorted(there.keys() & here.keys())
        if path.startswith(chosen) and path.rpartition(".")[2] not in FREE
        if there[path] is not None and _plain(there[path]) != _plain(here[path])
    ]


def _plain(value):
    """A setting as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value
