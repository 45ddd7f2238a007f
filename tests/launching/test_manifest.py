"""YAML as people write it, and as it is read back."""

import yaml

from vlp_jax.launching.manifest import to_yaml


def test_keys_keep_their_order_and_lines_of_shell_are_lines():
    found = to_yaml(
        {"run": "a\nb: $x\n", "name": "n", "list": [{"z": 1, "a": "x" * 200}]}
    )
    long = "x" * 200
    expected = f"run: |\n  a\n  b: $x\nname: n\nlist:\n- z: 1\n  a: {long}\n"
    assert found == expected


def test_every_value_is_read_back():
    for text in (
        "",
        "yes",
        "1.0",
        "null",
        " a",
        "a: b",
        "- {x}",
        "#",
        "a\n\n b\n",
        "é",
    ):
        value = {"key": [text, {text or "empty": True}], "number": 7}
        assert yaml.safe_load(to_yaml(value)) == value
