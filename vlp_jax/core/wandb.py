"""Metrics to Weights & Biases, for those who use it (`pip install wandb`)."""

import uuid
from pathlib import Path

from vlp_jax.core.errors import ConfigError


class WandbBoard:
    """One run of a W&B project; the same folder goes on with the same run.

    Has the two methods of a TensorBoard writer that MetricsWriter uses.
    """

    def __init__(self, project: str, name: str | None, folder: Path):
        try:
            import wandb
        except ImportError:
            raise ConfigError(
                f"wandb.project is {project!r}, but wandb is not installed; "
                "pip install wandb, or leave the setting out"
            ) from None
        identity = uuid.uuid5(uuid.NAMESPACE_URL, str(folder.absolute())).hex
        self._run = wandb.init(
            project=project, name=name, id=identity, dir=str(folder), resume="allow"
        )

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value}, step=step)

    def flush(self) -> None:
        """W&B sends in the background."""

    def close(self) -> None:
        self._run.finish()
