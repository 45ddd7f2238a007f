"""Word-patch alignment: how far the words of a text are from the patches of a picture.

The optimal transport distance between the two sets of states, each of uniform weight:

    min over T of sum_ij T_ij C_ij,  C_ij = 1 - cos(word_i, patch_j),
    rows of T summing to 1 / words and columns to 1 / patches

by the proximal point method IPOT (Xie et al. 2018, arXiv:1802.04307, algorithm 1), as
UNITER (arXiv:1909.11740) and ViLT (arXiv:2102.03334) train with it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vlp_jax.core.errors import check_range
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.softmax import MASKED

SHORTEST = 1e-5  # states are divided by their length or, if they are shorter, by this


def cosine_distances(
    first: Float[Array, "B M D"], second: Float[Array, "B N D"]
) -> Float[Array, "B M N"]:
    """1 - cosine of every pair, in float32 on any device."""

    def unit(x):
        x = x.astype(jnp.float32)
        squared = jnp.square(x).sum(-1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.maximum(squared, SHORTEST**2))

    first, second = unit(first), unit(second)
    return 1 - jnp.einsum("bmd,bnd->bmn", first, second, precision="highest")


def transport_plan(
    cost: Float[Array, "B M N"],
    rows: Bool[Array, "B M"],
    columns: Bool[Array, "B N"],
    beta: float = 0.5,
    iterations: int = 50,
) -> Float[Array, "B M N"]:
    """IPOT's plan between the true rows and the true columns; 0 elsewhere.

    It nears the optimal one with more iterations, faster with a smaller `beta`. Both
    sides are scaled once an iteration (k = 1), the rows last, so their sums are exact.
    In logarithms, as an entry that has vanished could not come back.
    """
    both = rows[:, :, None] & columns[:, None, :]
    kernel = jnp.where(both, -cost / beta, MASKED)
    of_row, of_column = (jnp.log(x.sum(1, keepdims=True)) for x in (rows, columns))

    def iterate(_, logs):
        plan, row_scale = logs
        plan = kernel + plan
        column_scale = jax.nn.logsumexp(plan + row_scale[:, :, None], axis=1)
        column_scale = jnp.where(columns, -of_column - column_scale, 0)
        row_scale = jax.nn.logsumexp(plan + column_scale[:, None, :], axis=2)
        row_scale = jnp.where(rows, -of_row - row_scale, 0)
        return plan + row_scale[:, :, None] + column_scale[:, None, :], row_scale

    start = jnp.zeros_like(kernel), jnp.where(rows, -of_row, 0)
    plan, _ = jax.lax.fori_loop(0, iterations, iterate, start)
    return jnp.where(both, jnp.exp(plan), 0)


def optimal_transport_distance(
    first: Float[Array, "B M D"],
    second: Float[Array, "B N D"],
    first_mask: Bool[Array, "B M"],
    second_mask: Bool[Array, "B N"],
    beta: float = 0.5,
    iterations: int = 50,
) -> Float[Array, " B"]:
    """The distance of each row's two sets of states; 0 where one of them is empty.

    As published, the plan is a constant: the gradient is that of the costs alone.
    """
    cost = cosine_distances(first, second)
    fixed = jax.lax.stop_gradient(cost)
    plan = transport_plan(fixed, first_mask, second_mask, beta, iterations)
    return (plan * cost).sum((1, 2))


def words(mask: Bool[Array, "B L"]) -> Bool[Array, "B L"]:
    """The tokens of texts without the first and the last of each (start and end)."""
    followed = jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
    return (mask & followed).at[:, 0].set(False)


class WordPatchAlignment:
    """Pulls matched words and patches together and, as in ViLT, others apart.

    (sum of the distances of matched pairs - sum of those of unmatched ones) / number of
    pairs of both kinds; its weight in ViLT is 0.1. `word_states` and `patch_states` are
    the last states of the model for the tokens of the text, start and end included,
    and for the patches of the picture, without a class token; the unmatched ones are
    those of a text with a picture that it does not belong to.

    Args:
      beta, iterations: of IPOT.
      unmatched: whether unmatched pairs are pushed apart; False: only the first sum.
    """

    scope = "micro"

    def __init__(self, beta: float = 0.5, iterations: int = 50, unmatched: bool = True):
        check_range("beta", beta, 1e-3)
        check_range("iterations", iterations, 1)
        self.beta, self.iterations = beta, iterations
        names = ("word_states", "patch_states", "text_mask")
        self.matched = tuple(map(Need, names))
        self.unmatched = tuple(Need(f"unmatched_{n}") for n in names) * unmatched
        self.needs = (*self.matched, *self.unmatched, Need("valid"))

    def initial_state(self):
        return ()

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        count = outputs[Need("valid")].sum().astype(jnp.float32)
        matched = self._total(outputs, self.matched)
        metrics = {"matched": matched / jnp.maximum(count, 1)}
        if not self.unmatched:
            return Term(matched, count, metrics)
        unmatched = self._total(outputs, self.unmatched)
        metrics["unmatched"] = unmatched / jnp.maximum(count, 1)
        return Term(matched - unmatched, 2 * count, metrics)

    def _total(self, outputs: Outputs, names: tuple[Need, ...]) -> jax.Array:
        """The sum of the distances of pairs of one kind."""
        word_states, patch_states, mask = (outputs[need] for need in names)
        distances = optimal_transport_distance(
            word_states,
            patch_states,
            words(mask),
            jnp.ones(patch_states.shape[:2], bool),
            self.beta,
            self.iterations,
        )
        return jnp.where(outputs[Need("valid")], distances, 0).sum()
