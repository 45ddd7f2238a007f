"""Embeddings of a dataset in files that other tools read: docs/features.md."""

from vlp_jax.features.reading import manifest, read

__all__ = ["manifest", "read"]
