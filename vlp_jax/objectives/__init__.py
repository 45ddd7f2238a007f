"""Losses by name. To add one, write objectives/<name>.py and a line here."""

from vlp_jax.objectives.contrastive import Contrastive

OBJECTIVES = {"contrastive": Contrastive}
