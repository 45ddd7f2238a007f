"""HTML files that need nothing else: no network, no scripts, pictures inline.

Every text goes through the template's escaping, so captions may hold anything.
"""

import base64
import io
import os
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

ASSETS = Path(__file__).parent / "assets"
TINY = 64  # pictures up to this side are shown with their pixels, as PNG
THUMBNAIL = 192  # larger ones are reduced to this side, as JPEG


def render(template: Path, **values: Any) -> str:
    """A template with its values; it may use the files beside it and page.html."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, ASSETS]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["number"] = "{:,}".format
    return environment.get_template(template.name).render(**values).lstrip()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file whole or not at all; makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Names of files may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def data_uri(
    picture: np.ndarray, drawn: bool = False, side: int = THUMBNAIL
) -> dict[str, Any]:
    """A picture for an <img>: its inline source, and whether to show its pixels.

    picture: uint8 [H, W, 3], reduced to `side`; one that is `drawn` stays as it is.
    """
    image, buffer = Image.fromarray(picture), io.BytesIO()
    is_tiny = max(image.size) <= TINY
    kind = "png" if is_tiny or drawn else "jpeg"
    if kind == "png":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=82)
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"source": f"data:image/{kind};base64,{code}", "is_tiny": is_tiny}
