"""Vision-language pretraining in JAX and Flax. README.md has a map of the code."""
