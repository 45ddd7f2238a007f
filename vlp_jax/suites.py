"""An evaluation of many datasets: its config, written out for the folders there are."""

from ml_collections import ConfigDict

from vlp_jax import recipe
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.clip_benchmark import dataset_type, find_folders

KIND = "clip_benchmark"
# What suits the type of a dataset: the kind of an evaluator.
EVALUATOR = {
    "classification": "zero_shot",
    "multilabel": "multi_label",
    "retrieval": "retrieval",
}


def expanded(config: ConfigDict) -> ConfigDict:
    """The evaluation with an evaluator for each dataset; as it is without `suite`.

    config.data.root is then a folder of folders, and each of them gets a copy of the
    evaluator whose kind suits its type. Raises ConfigError where there are none, or
    where no evaluator suits.
    """
    if not config.get("suite"):
        return config
    data = config.data
    if data.kind != KIND or data.root is None:
        raise ConfigError(
            f"suite is for data of kind {KIND!r} with a root, not of {data.kind!r} "
            f"with {data.root!r}; set data.kind and data.root"
        )
    config = config.copy_and_resolve_references()
    kinds = {block.kind: block for block in config.evaluators.values()}
    found = {}
    for name, root in find_folders(data.root, data.split or "test").items():
        kind = EVALUATOR[dataset_type(root)]
        if kind not in kinds:
            raise ConfigError(
                f"{root} needs an evaluator of kind {kind!r}, and the config has only "
                f"{', '.join(kinds)}; add recipe.evaluator({kind!r})"
            )
        block = kinds[kind].copy_and_resolve_references()
        block.data = recipe.source(KIND)
        block.data.update(root=root, split=data.split, index=data.index)
        label = name.replace(".", "_")  # a dot would part a setting's path
        while label in found:
            label += "_"
        found[label] = block
    config.evaluators = ConfigDict(found)
    config.suite = False
    return config
