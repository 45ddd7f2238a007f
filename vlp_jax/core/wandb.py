"""Metrics to Weights & Biases, for those who use it (`pip install wandb`)."""

import uuid
from pathlib import Path

from vlp_jax.core.errors import ConfigError, RunError


class WandbBoard:
    """One run of a W&B project; a folder keeps its run's id and goes on with it.

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
        kept = folder / "wandb_id"
        if not kept.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(uuid.uuid4().hex)
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                id=kept.read_text(),
                dir=str(folder),
                resume="allow",
            )
        except Exception as error:  # no login, no network: wandb's errors are many
            raise RunError(
                f"wandb.init failed: {' '.join(str(error).split())}; `wandb login`, "
                "WANDB_MODE=offline, or leave wandb.project out"
            ) from error

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value}, step=step)

    def flush(self) -> None:
        """W&B sends in the background."""

    def close(self) -> None:
        self._run.finish()
