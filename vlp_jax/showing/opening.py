"""From what the command line names to what a page shows, said on the way."""

from pathlib import Path

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.core.logs import say
from vlp_jax.data.shards.store import cache_folder
from vlp_jax.encoder import Encoder
from vlp_jax.showing.index import Index, Indexer, index_name
from vlp_jax.showing.pictures import PictureFolder, Pictures, ScenePictures
from vlp_jax.showing.views import Views

FOLDER = "pictures"  # of the cache


def open_pictures(root: str | None) -> Pictures:
    """Those below a folder; without one, digit scenes."""
    return ScenePictures() if root is None else PictureFolder(root)


def read_texts(path: str | None) -> tuple[str, ...]:
    """The lines of a file that are not empty; () without a file."""
    if path is None:
        return ()
    try:
        content = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"--texts={path} cannot be read: {error.strerror}; name a file with one "
            "text a line"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--texts={path} is no UTF-8 text ({error.reason} at byte {error.start}); "
            "save it as UTF-8, one text a line"
        ) from None
    found = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not found:
        raise ConfigError(f"--texts={path} is empty; expected one text a line")
    return found


def open_index(encoder: Encoder, pictures: Pictures, folder: str | None) -> Index:
    """The index of the pictures under these weights, made where there is none.

    folder: where indices are kept, one below it for each model and each set of
    pictures; None: ~/.cache/vlp_jax/pictures.
    """
    model = encoder.model
    name = index_name(model.parameters, str(model.description), pictures.identity)
    place = cache_folder().with_name(FOLDER) if folder is None else Path(folder)
    place = place.expanduser() / name
    indexer = Indexer(encoder.prepare_image, encoder.encode_image, encoder.batch_size)
    found = indexer.build(pictures, place)
    known = len(found.numbers) - found.encoded
    say(f"  index     {known:,} known, {found.encoded:,} new, in {place}")
    for cause, count in sorted(found.left_out.items()):
        say(f"  left out  {count:,} {cause}")
    if not found.numbers:
        raise RunError(
            f"none of the {len(pictures.names):,} pictures of {pictures.name} can be "
            "read; the causes are above"
        )
    return found


def open_views(
    encoder: Encoder, pictures: Pictures, texts: tuple[str, ...], index: str | None
) -> Views:
    """What answers, with everything encoded that is known before it is asked."""
    say(f"  pictures  {len(pictures.names):,} of {pictures.name}")
    found = open_index(encoder, pictures, index) if encoder.can("embed") else None
    return Views(encoder, pictures, found, texts or pictures.suggestions.texts)


def notes(views: Views) -> tuple[str, ...]:
    """What a person who looks at the page should know of its pictures."""
    said = [views.pictures.suggestions.note]
    if views.index is not None and views.index.left_out:
        causes = sorted(views.index.left_out.items())
        listed = ", ".join(f"{count:,} {cause}" for cause, count in causes)
        said.append(f"Left out: {listed}.")
    return tuple(x for x in said if x)
