"""What a fresh run begins with, where that comes from another model."""

import dataclasses
import functools

from ml_collections import ConfigDict

from vlp_jax import build, endpoints
from vlp_jax.adapting import (
    class_names_of,
    context_of,
    has_adapters,
    learned_words,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import PyTree
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.portable import Portable
from vlp_jax.trained import (
    ANSWER_HEAD,
    TOKEN_EMBEDDINGS,
    checkpoint_config,
    describe_initial,
    saved_answers,
    saved_tokenizer,
)
from vlp_jax.transfer.initialise import GivenWeights, InitialWeights

TOKENIZED = ("vlp", "hf", "open_clip")  # formats in which a tokenizer travels along
CLASS_HEAD = "class_head/bias"
WORDS, CONTEXT = "text/token_embedding", "adapters/context"


class Start:
    """config.initialise: weights of a checkpoint of ours, or of any endpoint of `port`.

    A checkpoint of ours is read shard by shard; a foreign model, and one whose adapters
    are to be merged first, is read whole into the memory of each process.
    """

    def __init__(
        self,
        given: InitialWeights,
        context: tuple[str, ...] = (),
        tokenizer: str | None = None,
    ):
        self.given, self.context, self._tokenizer = given, context, tokenizer

    @classmethod
    def of(cls, config: ConfigDict) -> "Start | None":
        given = build.make_initial_weights(config)
        if given is None:
            return None
        return cls(given, context_of(config), config.tokenizer.path)

    @functools.cached_property
    def model(self) -> Portable | None:
        """The model at the endpoint; None where its checkpoint is read directly."""
        kind, path = endpoints.split(self.given.checkpoint, "vlp")
        if kind == "vlp":
            there = checkpoint_config(path)
            known = set(self.context) & set(learned_words(there))
            if not known and not has_adapters(there):
                return None
        own = {} if kind in TOKENIZED else {"tokenizer": self._tokenizer}
        return endpoints.read(self.given.checkpoint, self.given.weights, **own)

    @functools.cached_property
    def weights(self) -> InitialWeights:
        path = endpoints.split(self.given.checkpoint, "vlp")[1]
        if self.model is None:
            return dataclasses.replace(self.given, checkpoint=path)
        own = dataclasses.asdict(self.given)
        return GivenWeights(**own, arrays=self._arrays(self.model))

    def _arrays(self, model: Portable) -> dict:
        """Those of a model; context that the run goes on to learn is apart in it."""
        count = len(self.context)
        if not count or None in model.tokenizer.ids(self.context):
            return model.parameters
        table = model.parameters[WORDS]
        parts = {WORDS: table[:-count], CONTEXT: table[-count:]}
        return {**model.parameters, **parts}

    def tokenizer(self, config: ConfigDict) -> Tokenizer | None:
        """The one that belongs to the token embeddings; None if these do not come."""
        if not any(map(self._brings, TOKEN_EMBEDDINGS)):
            return None
        if self.model is None:
            return saved_tokenizer(self.weights.folder, config)
        return self.model.tokenizer.with_length(config.tokenizer.length)

    def answers(self, config: ConfigDict) -> tuple[str, ...]:
        """Those that belong to the head of answers; () if it does not come."""
        if not self._brings(ANSWER_HEAD):
            return ()
        if self.model is None:
            return saved_answers(self.weights.folder, config)
        return self.model.answers

    def _brings(self, name: str) -> bool:
        """The checkpoint is looked at only for what is asked for."""
        return self.given.asks(name) and self.weights.brings(name)

    def read(self, run: PyTree, config: ConfigDict) -> dict:
        """{path: array} of what the run takes, which is printed; see InitialWeights.

        run: placed shapes of its variables. config: the run's, resolved.
        """
        values, found = self.weights.read(run)
        if self.model is None:
            there = checkpoint_config(self.weights.folder)
        else:
            there = self.model.config
        describe_initial(self.weights, found, config, there)
        if CLASS_HEAD in found.used and class_names_of(there) != class_names_of(config):
            raise ConfigError(
                f"the class_head of {self.given.checkpoint} is of other classes "
                f"({', '.join(class_names_of(there)[:3])}, ...); leave it out: "
                "--config.initialise.parts=\"('^(?!class_head)',)\""
            )
        return values
