"""Contrast against a moving average of the model, and a queue of what it has seen.

With live embeddings i, t of B pairs, momentum ones i', t', s = exp(logit_scale), and
the momentum embeddings of earlier batches in two queues of Q each, a picture is
compared with the texts T = [t' of the batch, text queue], a text with the pictures
I = [i' of the batch, image queue] (Li et al. 2021, arXiv:2107.07651, section 3.3,
equation 6):

    q = a softmax(s i' T) + (1 - a) onehot      loss of a picture = -sum_j q_j log p_j
    p = softmax(s i T)

and likewise for texts; the loss is the mean of both. Momentum embeddings, queues and q
have no gradient. With a = 0 it is MoCo's loss (He et al. 2020, arXiv:1911.05722).
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Shaped

from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.lookup import lookup
from vlp_jax.core.types import Need, Outputs, Term
from vlp_jax.objectives.cross_entropy import ramped
from vlp_jax.objectives.softmax import MASKED
from vlp_jax.objectives.sweep import SAMPLE
from vlp_jax.parallel import collectives
from vlp_jax.parallel.collectives import ROWS, SAME
from vlp_jax.parallel.sharding import constrain

SAME_ID = ("mask", "negative", "positive")
EMPTY = -1  # the sample id of a place in the queue that nothing is to be compared with
LIVE = tuple(Need(name) for name in ("image_embedding", "text_embedding"))
MOMENTUM = tuple(Need(need.name, parameters="momentum") for need in LIVE)
SCALE, VALID = Need("logit_scale"), Need("valid")


def soft_contrast(
    products: Float[Array, "b M"],
    momentum_products: Float[Array, "b M"],
    scale: Float[Array, ""],
    soft_share: Float[Array, ""],
    allowed: Bool[Array, "b M"],
    positive: Bool[Array, "b M"],
) -> Float[Array, " b"]:
    """Cross entropy of each row against its soft targets.

    Products are to be taken by the live and by the momentum embedding of the row.
    allowed: columns that take part. positive: those that are right, all alike; every
    row that counts has one. From each row its mean positive is subtracted, which
    changes nothing but the rounding of the gradient of the scale.
    """
    hard = positive / jnp.maximum(positive.sum(1, keepdims=True), 1)
    centre = jax.lax.stop_gradient((hard * products).sum(1, keepdims=True))
    logits = jnp.where(allowed, scale * (products - centre), MASKED)
    soft = jax.nn.softmax(jnp.where(allowed, scale * momentum_products, MASKED))
    targets = jax.lax.stop_gradient(soft_share * soft + (1 - soft_share) * hard)
    expected = jnp.where(allowed, targets * logits, 0).sum(1)
    return jax.nn.logsumexp(logits, axis=1) - expected


def columns_of(
    sample_id: Int[Array, " b"],
    numbers: Int[Array, " b"],
    column_ids: Int[Array, " M"],
    same_id: str,
) -> tuple[Bool[Array, "b M"], Bool[Array, "b M"]]:
    """(which columns take part, which are right) for rows of these numbers.

    The columns are the batch and then the queue; EMPTY ones never take part.
    """
    own = numbers[:, None] == jnp.arange(len(column_ids))
    filled = jnp.broadcast_to(column_ids != EMPTY, own.shape)
    same = sample_id[:, None] == column_ids
    if same_id == "mask":
        return filled & (own | ~same), own
    return filled, own if same_id == "negative" else filled & same


def enqueue(
    queue: Shaped[Array, "Q ..."], rows: Shaped[Array, "B ..."], pointer: Int[Array, ""]
) -> Shaped[Array, "Q ..."]:
    """First in, first out: rows take the places from `pointer` on, around the end."""
    places = (pointer + jnp.arange(len(rows))) % len(queue)
    return queue.at[places].set(rows)


class MomentumContrast:
    """ALBEF's contrastive loss; BLIP has the same.

    The queue starts empty. (ALBEF starts from random vectors, which act as negatives
    until they are replaced.) Rows that only fill up a batch take places in the queue
    that nothing is compared with.

    Args:
      mesh: the devices that share the batch.
      embedding_width: of the embeddings.
      queue_size: Q; 0: only the batch.
      soft_share: a, the share of the momentum model's opinion in the targets.
      ramp_steps: over which a rises in a line from 0 (ALBEF: the first epoch).
      same_id: what other columns of a row's own sample are. 'mask': left out.
        'negative': as ALBEF's pretraining has it. 'positive': as right as the row's
        own (its fine-tuning for retrieval).
    """

    scope = "global"
    needs = (*LIVE, *MOMENTUM, SCALE, VALID, SAMPLE)

    def __init__(
        self,
        mesh: Mesh,
        embedding_width: int,
        queue_size: int = 65536,
        soft_share: float = 0.4,
        ramp_steps: int = 0,
        same_id: str = "mask",
    ):
        check_range("queue_size", queue_size, 0)
        check_range("soft_share", soft_share, 0, 1)
        check_range("ramp_steps", ramp_steps, 0)
        lookup(dict.fromkeys(SAME_ID), same_id, "treatment of the same id")
        self.mesh, self.width, self.queue_size = mesh, embedding_width, queue_size
        self.soft_share, self.ramp_steps = soft_share, ramp_steps
        self.same_id = same_id

    def initial_state(self):
        if self.queue_size == 0:
            return ()
        return {
            "image_queue": jnp.zeros((self.queue_size, self.width)),
            "text_queue": jnp.zeros((self.queue_size, self.width)),
            "ids": jnp.full(self.queue_size, EMPTY, jnp.int32),
            "pointer": jnp.zeros((), jnp.int32),
        }

    def check(self, batch: int, samples: int) -> None:
        """ConfigError unless a batch fits into the queue."""
        if 0 < self.queue_size < batch:
            raise ConfigError(
                f"momentum_contrast.queue_size is {self.queue_size}, less than the "
                f"{batch} rows of a batch; expected as many or more, or 0 for no queue"
            )

    def __call__(self, outputs: Outputs, step: jax.Array, state) -> Term:
        valid, scale = outputs[VALID], jnp.exp(outputs[SCALE])
        self.check(len(valid), 0)
        ids = jnp.where(valid, outputs[SAMPLE], EMPTY)
        live = tuple(outputs[need].astype(jnp.float32) for need in LIVE)
        # Whatever fills up a batch, be it not finite, stays out of the queue.
        momentum = tuple(
            jax.lax.stop_gradient(
                jnp.where(valid[:, None], outputs[need].astype(jnp.float32), 0)
            )
            for need in MOMENTUM
        )
        share = ramped(self.soft_share, self.ramp_steps, step)
        total = collectives.map_rows(
            self._local,
            self.mesh,
            in_specs=((ROWS, ROWS), (ROWS, ROWS), ROWS, (SAME,) * 3, SAME, SAME),
            out_specs=SAME,
        )(live, momentum, ids, self._queue(state), scale, share)
        metrics = {"scale": scale, "soft_share": share}
        if self.queue_size:
            metrics["queue_filled"] = (state["ids"] != EMPTY).mean()
        return Term(
            total=total,
            count=valid.sum().astype(jnp.float32),
            metrics=metrics,
            state=self._after(state, momentum, ids),
        )

    def _queue(self, state):
        """(images, texts, ids) that are waiting."""
        if self.queue_size:
            return state["image_queue"], state["text_queue"], state["ids"]
        nothing = jnp.zeros((0, self.width))
        return nothing, nothing, jnp.zeros(0, jnp.int32)

    def _after(self, state, momentum, ids):
        """The state with the batch in its queue."""
        if not self.queue_size:
            return state
        rows = (constrain(x, SAME) for x in (*momentum, ids))
        pointer = state["pointer"]
        images, texts, ids = (
            enqueue(queue, new, pointer)
            for queue, new in zip(self._queue(state), rows, strict=True)
        )
        return {
            "image_queue": images,
            "text_queue": texts,
            "ids": ids,
            "pointer": (pointer + len(momentum[0])) % self.queue_size,
        }

    def _local(self, live, momentum, ids, queue, scale, share):
        """One device's share: the total over the batch."""
        batch = [collectives.gather_rows(x) for x in (*momentum, ids)]
        images, texts, column_ids = map(jnp.concatenate, zip(batch, queue, strict=True))
        numbers = collectives.row_numbers(len(ids))
        allowed, positive = columns_of(ids, numbers, column_ids, self.same_id)
        losses = [
            soft_contrast(
                rows @ columns.T, slow @ columns.T, scale, share, allowed, positive
            )
            for rows, slow, columns in zip(live, momentum, (texts, images), strict=True)
        ]
        return collectives.sum_over_rows(
            jnp.where(ids != EMPTY, sum(losses) / 2, 0).sum()
        )
