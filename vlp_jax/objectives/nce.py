"""Losses against K sampled negatives instead of the whole batch.

With the logit z of the right pair and z_1 ... z_K of the sampled ones:

    InfoNCE      -log(exp(z) / (exp(z) + sum_k exp(z_k)))
                 (van den Oord et al. 2018, arXiv:1807.03748, equation 4)
    binary NCE   -log sigmoid(z - log(K P)) - sum_k log sigmoid(log(K P_k) - z_k)
                 (Gutmann and Hyvarinen 2010; Mnih and Teh 2012, arXiv:1206.6426)

where P is the distribution that the negatives are drawn from. It may be uniform over
the other pairs of the batch, given for the samples of the data set, or uniform or given
over a bank of embeddings.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.types import Outputs, Term
from vlp_jax.objectives.softmax import MASKED
from vlp_jax.objectives.sweep import SAMPLE, PairLoss
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME


def info_nce(
    positive: Float[Array, " b"],
    negative: Float[Array, "b K"],
    positive_noise: Float[Array, " b"],
    negative_noise: Float[Array, "b K"],
) -> Float[Array, " b"]:
    """InfoNCE of each row; where the negatives come from does not enter it."""
    del positive_noise, negative_noise
    return jax.nn.softplus(jax.nn.logsumexp(negative, axis=1) - positive)


def binary_nce(
    positive: Float[Array, " b"],
    negative: Float[Array, "b K"],
    positive_noise: Float[Array, " b"],
    negative_noise: Float[Array, "b K"],
) -> Float[Array, " b"]:
    """Binary NCE of each row. The noise: log P of the right and the sampled columns."""
    count = jnp.log(negative.shape[1])
    right = positive - count - positive_noise
    wrong = negative - count - negative_noise
    return jax.nn.softplus(-right) + jax.nn.softplus(wrong).sum(axis=1)


def draw(
    key: jax.Array,
    rows: Int[Array, " b"],
    log_noise: Float[Array, "b M"],
    count: int,
    replace: bool,
) -> Int[Array, "b K"]:
    """`count` columns for each row, drawn by its log-probabilities.

    The draw of a row depends on (key, its number in `rows`) alone, so that it is the
    same on any number of devices. Without replacement: the highest of the
    log-probabilities plus Gumbel noise (Kool et al. 2019, arXiv:1903.06059); with it:
    where a uniform number falls in the cumulative distribution.
    """

    def of_row(row, log_noise):
        own = jax.random.fold_in(key, row)
        if replace:
            cumulative = jnp.cumsum(jax.nn.softmax(log_noise))
            # In (0, total]: a column without a share is never the first to reach it.
            level = (1 - jax.random.uniform(own, (count,))) * cumulative[-1]
            return jnp.searchsorted(cumulative, level)
        noise = jax.random.gumbel(own, log_noise.shape)
        return jax.lax.top_k(log_noise + noise, count)[1]

    # Row by row: all rows at once would need many arrays of b x M.
    return jax.lax.map(lambda x: of_row(*x), (rows, log_noise), batch_size=64)


class SampledNCE:
    """A loss of the images against `negatives` sampled texts each.

    Args:
      mesh: the devices that share the batch.
      negatives: K, how many are drawn for each image, anew at each step.
      bank: file (.npy) with float [M, D] embeddings to draw from; not given: the
        other texts of the batch.
      noise: file (.npy) with positive weights to draw by: [M] over the bank, or one
        for each sample of the data set; not given: all alike.
      temperature: a fixed one instead of the learned scale.
      seed: of the draws, together with the step.
    """

    scope = "global"
    loss = staticmethod(info_nce)
    replace = False

    def __init__(
        self,
        mesh: Mesh,
        negatives: int = 64,
        bank: str | None = None,
        noise: str | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ):
        check_range("negatives", negatives, 1)
        check_range("temperature", temperature, 1e-4)
        self.mesh, self.negatives, self.seed = mesh, negatives, seed
        self.temperature = temperature
        self.bank = None if bank is None else _unit(_array(bank, "bank", 2))
        self.log_noise = None if noise is None else _log_shares(noise)
        if self.bank is not None:
            check_range("negatives", negatives, 1, len(self.bank))
            self._check_noise(len(self.bank), "rows in the bank")
        self.needs = (*PairLoss.needs, SAMPLE)

    def check(self, batch: int, samples: int) -> None:
        """ConfigError unless it can draw from such a batch of so many samples."""
        if self.bank is None:
            check_range("negatives", self.negatives, 1, batch - 1)
            self._check_noise(samples, "samples in the data")

    def _check_noise(self, count: int, of_what: str) -> None:
        if self.log_noise is not None and len(self.log_noise) != count:
            raise ConfigError(
                f"noise has {len(self.log_noise)} weights, but there are {count} "
                f"{of_what}; expected one weight for each"
            )

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        image, text, logit_scale, valid = (outputs[n] for n in PairLoss.needs)
        if self.bank is not None and self.bank.shape[1] != image.shape[1]:
            raise ConfigError(
                f"bank holds embeddings of width {self.bank.shape[1]}; the model's "
                f"embedding_size is {image.shape[1]}"
            )
        if self.temperature is not None:
            logit_scale = -jnp.log(self.temperature)
        key = jax.random.fold_in(jax.random.key(self.seed), step)
        total = collectives.map_rows(
            functools.partial(self._local, key),
            self.mesh,
            in_specs=(ROWS, ROWS, SAME, ROWS, ROWS),
            out_specs=SAME,
        )(image, text, jnp.exp(logit_scale), valid, outputs[SAMPLE])
        count = valid.sum().astype(jnp.float32)
        return Term(total, count, {"scale": jnp.exp(logit_scale)})

    def _local(self, key, image, text, scale, valid, samples):
        """One device's share: the total over the batch."""
        rows = collectives.own_rows(
            jnp.arange(len(image) * collectives.row_devices()), len(image)
        )
        columns, log_noise, positive_noise = self._columns(text, rows, valid, samples)
        log_noise = jax.lax.stop_gradient(log_noise)
        drawn = draw(key, rows, log_noise, self.negatives, self.replace)
        positive = scale * (image * text).sum(-1)
        negative = scale * jnp.einsum("bd,bkd->bk", image, columns[drawn])
        negative_noise = jnp.take_along_axis(log_noise, drawn, axis=1)
        # Too few valid columns: what was drawn beyond them does not count.
        negative = jnp.where(negative_noise > MASKED / 2, negative, MASKED)
        losses = self.loss(positive, negative, positive_noise, negative_noise)
        losses = jnp.where(positive_noise < -MASKED / 2, losses, 0)  # nothing to draw
        return collectives.sum_over_rows(jnp.where(valid, losses, 0).sum())

    def _columns(self, text, rows, valid, samples):
        """(columns [M, D], log P of each for each row [b, M], of the right one [b])."""
        if self.bank is not None:
            share = self.log_noise
            if share is None:
                share = np.full(len(self.bank), -np.log(len(self.bank)), np.float32)
            log_noise = jnp.broadcast_to(share, (len(rows), len(share)))
            # The right text is none of the bank: it is as likely as the mean.
            bank = jnp.asarray(self.bank)
            return bank, log_noise, jnp.full(len(rows), -np.log(len(self.bank)))
        everyone, everyone_valid, all_samples = (
            collectives.gather_rows(x) for x in (text, valid, samples)
        )
        share = jnp.zeros(len(everyone))
        if self.log_noise is not None:
            share = jnp.asarray(self.log_noise)[all_samples]
        # A sample that comes twice in a batch is no negative of itself.
        possible = everyone_valid & (samples[:, None] != all_samples)
        log_noise = jnp.where(possible, share, MASKED)
        whole = jax.nn.logsumexp(log_noise, axis=1, keepdims=True)
        own = collectives.own_rows(share, len(rows)) - whole[:, 0]
        return everyone, jnp.where(possible, share - whole, MASKED), own


class InfoNCE(SampledNCE):
    """InfoNCE against K sampled negatives, drawn without replacement.

    With K = B - 1 negatives of the batch it is a row of the softmax loss.
    """


class BinaryNCE(SampledNCE):
    """Binary NCE: is a pair a right one, or one of K drawn from the noise?"""

    loss = staticmethod(binary_nce)
    replace = True  # its derivation wants independent draws


def _array(path: str, what: str, dimensions: int) -> np.ndarray:
    """A numeric .npy file of so many dimensions as float32."""
    if not Path(path).is_file():
        raise ConfigError(f"{what} {path}: no such file; expected a .npy file")
    try:
        found = np.load(path, allow_pickle=False).astype(np.float32)
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise ConfigError(f"{what} {path}: {error}; expected a .npy file") from None
    if found.ndim != dimensions or not len(found):
        raise ConfigError(
            f"{what} {path} has shape {found.shape}; expected {dimensions} dimension(s)"
        )
    return found


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _log_shares(path: str) -> np.ndarray:
    """Weights of a file as log-probabilities."""
    weights = _array(path, "noise", 1)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ConfigError(f"noise {path}: expected finite weights above 0")
    return np.log(weights / weights.sum())
