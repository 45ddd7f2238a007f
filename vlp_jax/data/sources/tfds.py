"""TensorFlow Datasets, read at random and without TensorFlow.

https://www.tensorflow.org/datasets/catalog lists them. A dataset is prepared once, on a
machine that has TensorFlow, as files of array_record:

  pip install tensorflow tensorflow-datasets importlib_resources
  tfds build coco_captions --file_format=array_record --data_dir=ROOT

  ROOT/coco_captions/2014/1.1.0/coco_captions-train.array_record-00000-of-00128, ...

Nothing is ever downloaded here, and the code of the dataset is not needed: only what
lies in its folder is read.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.lookup import lookup, suggestion
from vlp_jax.core.types import Example
from vlp_jax.data.captions import usable
from vlp_jax.data.class_names import named_classes, readable
from vlp_jax.data.classes import Classes
from vlp_jax.data.fingerprint import digest
from vlp_jax.data.sources.tfds_features import Features

FORMATS = ("array_record", "parquet")  # those with random access
INFO = "dataset_info.json"  # of a folder that TFDS has finished
# Dataset -> its prompts in published zero-shot numbers (evaluation/prompts.py).
PROMPTS = {
    "caltech101": "caltech101",
    "cars196": "cars",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "dtd": "dtd",
    "eurosat": "eurosat",
    "food101": "food101",
    "imagenet2012": "openai_imagenet80",
    "imagenet2012_real": "openai_imagenet80",
    "imagenet_a": "openai_imagenet80",
    "imagenet_r": "openai_imagenet80",
    "imagenet_sketch": "openai_imagenet80",
    "imagenet_v2": "openai_imagenet80",
    "mnist": "mnist",
    "oxford_flowers102": "flowers102",
    "oxford_iiit_pet": "pets",
    "patch_camelyon": "pcam",
    "resisc45": "resisc45",
    "stl10": "stl10",
    "sun397": "sun397",
    "svhn_cropped": "svhn",
}


class Tfds:
    """A random-access source over a prepared dataset of TFDS.

    Args:
      name: as in the catalogue: 'coco_captions', 'cifar10', 'imagenet_v2/topimages',
        with ':3.0.0' for a version other than the newest that is there.
      split: 'train', or in TFDS' notation 'train[:5%]', 'train+validation'.
      root: TFDS' data_dir; the default is its own ($TFDS_DATA_DIR or
        ~/tensorflow_datasets).
      image_column, caption_column, label_column: the features to take ('image',
        'captions.text', 'label'); found by their types where only one will do.
      templates: captions of the classes, for sets without any; '{}' is the name.
      class_names: names, a set or a text file (class_names.py); the default is the
        dataset's, readable ones for ImageNet's ids.
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        root: str | None = None,
        image_column: str | None = None,
        caption_column: str | None = None,
        label_column: str | None = None,
        templates: tuple[str, ...] = ("a photo of a {}",),
        class_names: str | Sequence[str] | None = None,
    ):
        tfds = import_tfds()
        self.name = f"tfds/{name}/{split}"
        self.class_names: tuple[str, ...] = ()
        self.templates = PROMPTS.get(name.partition(":")[0].partition("/")[0], ())
        self.dropped: Counter[str] = Counter()
        place = Path(root or tfds.core.constants.DATA_DIR).expanduser()
        builder = open_prepared(tfds, prepared_folder(tfds, place, name))
        features = Features(tfds, builder.info.features, name)
        self._image = features.image(image_column)
        self._caption = features.caption(caption_column)
        self._label = features.label(label_column)
        if self._label is not None:
            names = features.class_names(self._label)
            given = named_classes(class_names)
            if given and len(given) != len(names):
                raise ConfigError(
                    f"{len(given)} class_names for {len(names)} classes of {name}"
                )
            self.class_names = given or readable(names)
        elif self._caption is None:
            raise ConfigError(
                f"{name} has neither captions nor a label that are recognised; set "
                f"caption_column or label_column to one of: {features.listed()}"
            )
        self._classes = Classes(self.class_names, tuple(templates))
        decoders = features.encoded(tfds.decode.SkipDecoding())
        self._open(builder, split, decoders)

    def _open(self, builder: Any, split: str, decoders: dict) -> None:
        splits = builder.info.splits
        try:
            parts = splits[split].file_instructions
        except (ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            problem = f"split {split!r} of {self.name}: {reason}"
            raise ConfigError(
                f"{problem}; there are: {', '.join(sorted(splits))}"
            ) from error
        files: dict[str, list] = {}
        for part in parts:
            path = Path(part.filename)
            if not path.is_file():
                problem = f"{self.name}: the shard {str(path)!r} is missing"
                raise ConfigError(f"{problem}; prepare or copy the dataset again")
            taken = (path.stat().st_size, part.skip, part.take, part.examples_in_shard)
            files.setdefault(path.name, []).append(taken)
        if not files:
            raise ConfigError(f"{self.name} has no examples; choose another split")
        self._data = builder.as_data_source(split=split, decoders=decoders)
        self.fingerprint = {file: digest(taken) for file, taken in files.items()}

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Example:
        """Raises BadSample when the record or its captions cannot be read."""
        name = f"{self.name}/{index}"
        try:
            record = self._data[index]
        except (ValueError, RuntimeError, IndexError, OSError) as error:
            raise BadSample("image_unreadable", f"{name}: {error}") from error
        label = None
        if self._label is not None:
            number = int(value_at(record, self._label))
            label = number if 0 <= number < len(self.class_names) else None
        if self._caption is not None:
            captions = captions_of(value_at(record, self._caption), name)
        else:
            captions = () if label is None else self._classes.captions(label)
        image = value_at(record, self._image)
        return Example(image=image, captions=captions, label=label, name=name)


def import_tfds():
    """The package; ConfigError that names the command where it is not installed."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        install = "pip install tensorflow-datasets importlib_resources"
        raise ConfigError(
            f"kind 'tfds' needs a package ({error}): {install}"
        ) from error
    return tensorflow_datasets


def value_at(record: dict, path: tuple[str, ...]) -> Any:
    """The value of a feature; a sequence of dicts is a dict of sequences."""
    for key in path:
        record = record[key]
    return record


def captions_of(value: Any, name: str) -> tuple[str, ...]:
    """The usable ones of one text or of nested sequences of them, as bytes."""
    dropped: Counter[str] = Counter()
    captions = tuple(usable(_texts(value, name), dropped))
    if not captions and dropped:
        raise BadSample(max(dropped), name)
    return captions


def _texts(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, bytes):
        try:
            yield value.decode()
        except UnicodeDecodeError as error:
            raise BadSample("caption_unreadable", name) from error
    elif isinstance(value, str):
        yield value
    else:
        for item in value:
            yield from _texts(item, name)


# ---- the folder of a dataset


def versions(folder: Path) -> list[Path]:
    """The finished versions in a folder, the newest last."""
    found = [info.parent for info in folder.glob(f"*/{INFO}")]
    return sorted(
        found, key=lambda path: [part.zfill(9) for part in path.name.split(".")]
    )


def prepared_folder(tfds: Any, root: Path, name: str) -> Path:
    """The folder that holds a dataset's files; ConfigError that says how to get it."""
    dataset, _, version = name.partition(":")
    folder = root / dataset
    found = versions(folder)
    if not found and folder.is_dir():
        configs = [entry for entry in sorted(folder.iterdir()) if versions(entry)]
        if len(configs) > 1:
            known = ", ".join(f"{dataset}/{config.name}" for config in configs)
            raise ConfigError(
                f"{dataset} is there in several forms: name one of {known}"
            )
        found = versions(configs[0]) if configs else []
    if version and found:
        there = {path.name: path for path in found}
        return lookup(there, version, f"version of {dataset} in {str(root)!r}")
    if found:
        return found[-1]
    known = tfds.list_builders(with_community_datasets=False)
    plain = dataset.partition("/")[0]
    if plain not in known:
        raise ConfigError(
            f"no TFDS dataset {plain!r}, neither in its catalogue nor in {str(root)!r}"
            f"{suggestion(plain, known)}"
        )
    raise ConfigError(
        f"no files of the TFDS dataset {name!r} in root={str(root)!r}. Prepare them "
        "where TensorFlow is installed (pip install tensorflow), with root as data_dir:"
        f"\n{command(name, root)}"
    )


def command(name: str, root: Path) -> str:
    """What prepares a dataset, as it is typed."""
    place = shlex.quote(str(root))
    return f"tfds build {name} --file_format=array_record --data_dir={place}"


def open_prepared(tfds: Any, folder: Path) -> Any:
    """TFDS' builder of a folder; ConfigError where it has no random access."""
    try:
        builder = tfds.builder_from_directory(str(folder))
        formats = {form.value for form in builder.info.available_file_formats()}
        chosen = next((form for form in FORMATS if form in formats), None)
        if chosen is not None:  # a converted dataset has two; its splits follow
            builder.info.set_file_format(chosen, True, override_if_initialized=True)
    except Exception as error:  # whatever a broken description provokes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"TFDS cannot open {str(folder)!r}: {reason}") from error
    if chosen is None:
        form = ", ".join(sorted(formats)) or "nothing"
        convert = (
            f"tfds convert_format --dataset_version_dir={shlex.quote(str(folder))}"
        )
        raise ConfigError(
            f"{str(folder)!r} holds {form}, which cannot be read at random. Convert it "
            f"where TensorFlow is installed:\n{convert} --out_file_format=array_record"
        )
    return builder
