"""Labels with names: what they must be, and captions made of them."""

import dataclasses
import io

import numpy as np

from vlp_jax.core.errors import BadSample, ConfigError

# Of the versions of .npy that hold plain numbers.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclasses.dataclass(frozen=True)
class Classes:
    """The names of the labels 0, 1, ...; none where a source has no labels.

    `templates` are the captions of a label; '{}' stands for its name.
    """

    names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("a photo of a {}",)

    def __post_init__(self):
        if isinstance(self.names, str):
            raise ConfigError(f"class_names is {self.names!r}; expected a tuple")
        for template in self.templates:
            if not isinstance(template, str) or "{}" not in template:
                raise ConfigError(f"template {template!r} has no '{{}}' for the class")

    def check(self, label: int | None, given: object = None) -> int | None:
        """The label; BadSample where the names do not have it. `given`: as it was."""
        if self.names and (label is None or not 0 <= label < len(self.names)):
            said = repr(given if label is None else label)[:40]
            raise BadSample("label_unreadable", f"{said} of {len(self.names)} classes")
        return label

    def from_multi_hot(self, member: bytes) -> tuple[int, ...]:
        """The classes at the places of an .npy file [classes] that are not zero.

        BadSample where the file is broken, or does not have one number a class.
        """
        file, headers = io.BytesIO(member), np.lib.format
        try:
            read = HEADERS[headers.read_magic(file)]
            shape, _, kind = read(file)
            if shape != (len(self.names),) or kind.kind not in "biuf":
                raise ValueError(f"{kind} {list(shape)} for {len(self.names)} classes")
            found = np.frombuffer(member, kind, shape[0], file.tell())
        except (ValueError, KeyError) as error:
            said = str(error)[:80]
            raise BadSample("label_unreadable", f"array of classes: {said}") from error
        return tuple(np.flatnonzero(found).tolist())

    def captions(self, label: int) -> tuple[str, ...]:
        return tuple(t.replace("{}", self.names[label]) for t in self.templates)
