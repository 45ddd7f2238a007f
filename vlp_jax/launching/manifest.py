"""YAML as people write it: keys in the order given, lines of shell as lines."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """A YAML document; `yaml.safe_load` gives the same value back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=10_000)
