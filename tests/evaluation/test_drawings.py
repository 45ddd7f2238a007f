"""What evaluators found, turned into what a page can show."""

import numpy as np

from vlp_jax.evaluation import drawings

PICTURE = np.full((4, 4, 3), 200, np.uint8)


def is_shown(value) -> bool:
    return isinstance(value, dict) and value["source"].startswith("data:image/")


def test_pictures_become_data_wherever_they_are_nested():
    given = {"rows": [{"picture": PICTURE, "rank": 3}, "text"], "none": None}
    found = drawings.with_pictures(given)
    assert is_shown(found["rows"][0].pop("picture"))
    assert found == {"rows": [{"rank": 3}, "text"], "none": None}
    assert given["rows"][0]["picture"] is PICTURE  # what was given stays as it was


def test_a_word_is_drawn_over_its_own_picture():
    heat = np.zeros((2, 2), np.float32)
    heat[0, 0] = 1.0
    words = [{"word": "red", "heat": heat}, {"word": "three", "heat": heat.T * 0}]
    shown = {"caption": "a red three", "picture": PICTURE, "words": words}
    details = {
        "samples": 1200,
        "pairs": 3400,
        "kinds": [],
        "mistakes": [{"picture": PICTURE, "caption": "a red four"}],
        "attention": [shown],
    }
    found = drawings.matching(details)
    assert found["size"] == "1,200 images, 3,400 texts"
    assert is_shown(found["mistakes"][0]["picture"])
    drawn = found["attention"][0]
    assert [word["word"] for word in drawn["words"]] == ["red", "three"]
    pictures = [drawn["picture"], *(word["picture"] for word in drawn["words"])]
    assert all(map(is_shown, pictures))
    assert pictures[1] != pictures[2]  # another heat, another picture


def test_only_so_many_kinds_of_questions_are_drawn():
    kinds = [{"kind": str(n)} for n in range(drawings.KINDS_SHOWN + 5)]
    details = {"samples": 1, "questions": 2, "kinds": kinds, "gallery": []}
    assert drawings.answering(details)["kinds"] == kinds[: drawings.KINDS_SHOWN]


def test_retrieval_and_captions_keep_their_order():
    details = {"images": 2000, "texts": 10000, "samples": 7}
    for name in ("text_queries", "image_queries", "failures", "gallery"):
        details[name] = [{"query": n, "picture": PICTURE} for n in range(3)]
    found = drawings.retrieval(details), drawings.captioning(details)
    assert found[0]["size"] == "2,000 images, 10,000 captions"
    assert found[1]["size"] == "7 images"
    for rows in (found[0]["text_queries"], found[0]["failures"], found[1]["gallery"]):
        assert [row["query"] for row in rows] == [0, 1, 2]
        assert all(is_shown(row["picture"]) for row in rows)
