"""Datasets of TFDS, prepared without TensorFlow."""

import io

import tensorflow_datasets as tfds


class Prepared(tfds.core.GeneratorBasedBuilder):
    """A small dataset; subclasses give its features and the examples of its splits."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {}
    EXAMPLES = {}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self.FEATURES)
        )

    def _split_generators(self, manager):
        return {split: self._generate_examples(split) for split in self.EXAMPLES}

    def _generate_examples(self, split):
        for number, example in enumerate(self.EXAMPLES[split]):
            for value in example.values():
                if isinstance(value, io.BytesIO):
                    value.seek(0)  # another builder may have read it
            yield number, example
