"""What `python -m vlp_jax.demo` shows: pictures, their index, and a page on a model."""
