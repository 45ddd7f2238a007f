"""A web page on a checkpoint: pictures found by words, texts and labels for a picture.

python -m vlp_jax.demo --checkpoint=runs/quickstart --images=DIR
Without --images it shows digit scenes. Captions, answers and heat maps are there where
the model can. The checkpoint may be a foreign one, as for evaluate: hf:DIR, ...
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError, check_range
from vlp_jax.core.logs import say

flags.DEFINE_string("checkpoint", None, "A training workdir, a step, or FORMAT:DIR.")
flags.DEFINE_string("images", None, "Folder of pictures (default: digit scenes).")
flags.DEFINE_string("texts", None, "File of texts, one a line, to compare with.")
flags.DEFINE_string("index", None, "Folder for embeddings (default: in ~/.cache).")
flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0: all.")
flags.DEFINE_integer("port", 7860, "Port to listen at; 0: any that is free.")
flags.DEFINE_string("weights", "model", "model, or ema: the moving average.")
flags.DEFINE_string("tokenizer", None, "Its folder or name, if the model has none.")
flags.DEFINE_integer("batch_size", 64, "Pictures of one call of the model.")


def main() -> None:
    given = flags.FLAGS
    if given.checkpoint is None:
        raise ConfigError("demo needs a checkpoint: --checkpoint=runs/quickstart")
    check_range("--port", given.port, 0, 65535)
    check_range("--batch_size", given.batch_size, 1)
    try:
        from vlp_jax.showing import page
    except ImportError as error:
        raise ConfigError(
            f'the page needs gradio ({error}): pip install "gradio>=6.31"'
        ) from None
    from vlp_jax import encoder
    from vlp_jax.showing import opening

    reserved = page.reserve(given.host, given.port)
    pictures = opening.open_pictures(given.images or None)
    texts = opening.read_texts(given.texts)
    say(f"vlp_jax.demo  {given.checkpoint}", style="bold")
    options = given.batch_size, given.weights, given.tokenizer
    model = encoder.load(given.checkpoint, *options)
    views = opening.open_views(model, pictures, texts, given.index)
    about = f"{given.checkpoint}: {len(pictures.names):,} pictures of {pictures.name}"
    with page.kept_until_the_end():
        shown = page.make_page(views, model.name, about, opening.notes(views))
        page.serve(shown, reserved, lambda: say_where(page.url_of(reserved)))


def say_where(url: str) -> None:
    if not url.startswith(("http://127.", "http://[::1]")):
        say("  network   whoever reaches this address sees the pictures")
    say(f"Next: open {url} in a browser; Ctrl-C ends it", style="bold")


if __name__ == "__main__":
    cli.run(main)
