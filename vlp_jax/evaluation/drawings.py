"""What evaluators of pictures with texts found, as the report's template draws it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlp_jax.core.pages import data_uri
from vlp_jax.evaluation.attention import overlay

KINDS_SHOWN = 40

Details = Mapping[str, Any]


def with_pictures(value: Any) -> Any:
    """The same nested lists and dicts, arrays replaced by what <img> shows."""
    if isinstance(value, np.ndarray):
        return data_uri(value)
    if isinstance(value, dict):
        return {key: with_pictures(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_pictures(item) for item in value]
    return value


def retrieval(details: Details) -> dict[str, Any]:
    """Queries with the answers of one ranking, or of two."""
    return {
        "size": f"{details['images']:,} images, {details['texts']:,} captions",
        "images": details["images"],
        "texts": details["texts"],
        "text_queries": with_pictures(details["text_queries"]),
        "image_queries": with_pictures(details["image_queries"]),
        "failures": with_pictures(details["failures"]),
    }


def matching(details: Details) -> dict[str, Any]:
    """Accuracy by kind, the surest mistakes, and where the model looks for a word."""
    return {
        "size": f"{details['samples']:,} images, {details['pairs']:,} texts",
        "kinds": details["kinds"],
        "mistakes": with_pictures(details["mistakes"]),
        "attention": [
            {
                "caption": shown["caption"],
                "picture": data_uri(shown["picture"]),
                "words": [
                    {
                        "word": word["word"],
                        "picture": data_uri(
                            overlay(shown["picture"], word["heat"]), drawn=True
                        ),
                    }
                    for word in shown["words"]
                ],
            }
            for shown in details["attention"]
        ],
    }


def captioning(details: Details) -> dict[str, Any]:
    """Pictures with what was written about them, the best first."""
    return {
        "size": f"{details['samples']:,} images",
        "gallery": with_pictures(details["gallery"]),
    }


def answering(details: Details) -> dict[str, Any]:
    """Accuracy by the kind of question, and questions with their answers."""
    return {
        "size": f"{details['samples']:,} images, {details['questions']:,} questions",
        "kinds": details["kinds"][:KINDS_SHOWN],
        "gallery": with_pictures(details["gallery"]),
    }
