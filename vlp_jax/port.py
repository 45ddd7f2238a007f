"""Turns a model from one format into another, and proves that nothing changed.

python -m vlp_jax.port --source=vlp:runs/quickstart --target=hf:exports/quickstart
Formats: vlp (ours), hf (transformers), open_clip; as a source also big_vision (.npz),
as a target export (programs that run without this package).
"""

from absl import flags

from vlp_jax import cli
from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say

flags.DEFINE_string("source", None, "FORMAT:DIR of the model, such as vlp:runs/x.")
flags.DEFINE_string("target", None, "FORMAT:DIR to write, which is not there yet.")
flags.DEFINE_string("tokenizer", None, "Its folder or name, if the source has none.")
flags.DEFINE_string("upload", None, "ORG/NAME on the hub, to upload the export to.")
flags.DEFINE_bool("private", True, "Whether a repository that is made is private.")
flags.DEFINE_integer("image_size", None, "Pixels to see; positions are resized.")
flags.DEFINE_integer("text_length", None, "Tokens to read; the first ones are kept.")
flags.DEFINE_string("weights", "model", "model, or ema where the run kept one.")
flags.DEFINE_string("head", None, "The head to give where there are several.")

NEXT = {
    "vlp": "python -m vlp_jax.evaluate --config=configs/evaluate/image_folder.py "
    "--config.data.root=DIR --checkpoint={folder} --output={folder}-eval",
    "hf": 'python -c "from transformers import {name}; '
    "{name}.from_pretrained('{folder}'{more})\"",
    "export": "python {folder}/serve.py",
    "open_clip": 'python -c "import open_clip; '
    "open_clip.create_model_and_transforms('local-dir:{folder}')\"",
}


def main() -> None:
    source, target = flags.FLAGS.source, flags.FLAGS.target
    if source is None or target is None:
        raise ConfigError(
            "port needs where from and where to: --source=vlp:runs/quickstart "
            "--target=hf:exports/quickstart"
        )
    from vlp_jax import endpoints, one_head, proof, resizing
    from vlp_jax.porting import card, hf, hf_own_class, hub

    kind, _ = endpoints.target(target)
    if flags.FLAGS.upload is not None:
        hub.check_name(flags.FLAGS.upload)
    say(f"vlp_jax.port  {source} -> {target}", style="bold")
    given = endpoints.read(source, flags.FLAGS.weights, flags.FLAGS.tokenizer)
    say(f"  model     {given.name}, {given.count():,} parameters")
    sizes = flags.FLAGS.image_size, flags.FLAGS.text_length
    model, resized = resizing.resized(given, *sizes)
    if resized:
        say(f"  resized   {'; '.join(resized)}")
    if flags.FLAGS.head is not None:
        model = one_head.with_head(model, flags.FLAGS.head)
        say(f"  head      {flags.FLAGS.head} alone, {model.count():,} parameters")
    proofs = _of_source(source, given)
    _show(proofs)
    if not all(found.holds for found in proofs):
        raise RunError(
            f"{source}: its own library computes something else than this package; "
            "nothing was written"
        )
    folder = endpoints.write(target, model)
    proved = proof.prove(kind, folder, model)
    _show(proved)
    if kind in proof.SIDES:
        other = proof.SIDES[kind]
        if other not in {found.side for found in proved}:
            packages = ", ".join(proof.missing(kind))
            say(f"  proof     on our side only: not installed: {packages}")
        origin = card.origin(*endpoints.split(source, "vlp"), given.step)
        lines = [found.lines() for found in proofs + proved]
        card.write(folder, kind, model.name, origin, lines, resized)
    if not all(found.holds for found in proved):
        raise RunError(
            f"the two sides do not agree; {folder} is kept to be looked at, do not use "
            "it"
        )
    if flags.FLAGS.upload is not None:
        address = hub.upload(folder, flags.FLAGS.upload, flags.FLAGS.private)
        say(f"  uploaded  {address}")
    say("Next:")
    more = hf_own_class.arguments(folder)
    name = hf.class_of(folder) if kind == "hf" else ""
    say(f"  {NEXT[kind].format(folder=folder, more=more, name=name)}", style="bold")


def _show(proofs: list) -> None:
    for found in proofs:
        say("  proof     " + "; ".join(found.lines()))


def _of_source(source: str, model) -> list:
    """That a foreign model was read as its own library reads it, where that can."""
    from vlp_jax import endpoints, proof
    from vlp_jax.porting import hub

    kind, path = endpoints.split(source, "vlp")
    if kind not in proof.SIDES:
        return []
    try:
        return proof.against(kind, hub.folder_of(path), model)
    except RunError as error:  # such as without a tokenizer
        say(f"  proof     not of the source: {error}")
        return []


if __name__ == "__main__":
    cli.run(main)
