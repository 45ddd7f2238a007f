"""Layer decay: the nearer to the input, the less a pretrained layer is changed.

The rate of a layer is decay ** (layers above it), as BEiT (Bao et al. 2021,
arXiv:2106.08254) and MAE (He et al. 2021, arXiv:2111.06377) fine-tune; the idea is
ULMFiT's (Howard and Ruder 2018, arXiv:1801.06146).
"""

import re
from collections.abc import Callable, Iterable

from vlp_jax.core.errors import ConfigError

TOWER = r"^(image|text|fusion|decoder)/"
BLOCK = re.compile(TOWER + r".*?\bblock_(\d+)/")
# What comes before the first block; all else of a tower comes after the last.
FIRST = re.compile(
    TOWER + r"(patch_embedding|token_embedding|position_embedding|type_embedding"
    r"|class_token|class_position|prompts|norm_pre)"
)
STAGES = re.compile(TOWER + r"stage_\d+/")


def rate_factors(decay: float, paths: Iterable[str]) -> Callable[[str], float]:
    """path -> factor of the learning rate: 1 for heads, decay ** depth at the input.

    A tower of n blocks has n + 2 places: what embeds, its blocks, and what is after
    them. What embeds for another tower's blocks counts as that one's, the deepest.
    ConfigError unless 0 < decay <= 1, and for residual networks.
    """
    if not 0 < decay <= 1:
        raise ConfigError(
            f"layer_decay is {decay}; expected a number above 0, at most 1"
        )
    depths: dict[str, int] = {}
    for path in paths:
        if STAGES.search(path):
            raise ConfigError(
                "layer_decay counts the blocks of transformers, and this tower has the "
                f"stages of a residual network ({path}); leave layer_decay out"
            )
        found = BLOCK.search(path)
        if found:
            tower, depth = found[1], int(found[2]) + 1
            depths[tower] = max(depth, depths.get(tower, 0))

    deepest = max(depths.values(), default=0)

    def factor(path: str) -> float:
        path = re.sub(r"^adapters/lora/", "", path)
        tower, first = re.match(TOWER, path), FIRST.search(path)
        if not tower or not (first or tower[1] in depths):
            return 1.0
        last = depths.get(tower[1], deepest) + 1
        block = BLOCK.search(path)
        place = int(block[2]) + 1 if block else 0 if first else last
        return decay ** (last - place)

    return factor
