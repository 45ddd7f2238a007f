"""Vision-language pretraining in JAX and Flax. README.md has a map of the code."""

__all__ = ["load"]


def __getattr__(name: str):
    """`vlp_jax.load`, imported when it is asked for: programs begin without JAX."""
    if name == "load":
        from vlp_jax.encoder import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
