"""The rules of the code that a parser can check: who imports whom, and how large."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "vlp_jax"
FILES = sorted(ROOT.rglob("*.py"))

# Each part may import the parts of the lines above it, and itself.
LAYERS = [
    {"core"},
    {"parallel"},
    {"checkpoint"},
    # These seven never import each other; build.py is where they meet.
    {
        "models",
        "objectives",
        "data",
        "training",
        "transfer",
        "evaluation",
        "porting",
    },
    {"adapting", "open_settings"},
    {"build", "recipe", "defaults", "settings"},
    {"trained", "resuming", "learner", "feed", "streams", "suites", "cli"},
    {"portable"},
    {"endpoints"},
    {"starting"},
    {"runs", "evaluations", "following", "features", "one_head", "resizing"},
    {"proof", "encoder"},
    {"planning", "launching", "showing"},
    {  # programs
        "train",
        "evaluate",
        "port",
        "plan",
        "launch",
        "demo",
        "prepare",
        "extract",
        "data_check",
    },
    {"__init__"},  # the package itself: what `import vlp_jax` offers
]
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
FREE = {
    "cli",
    "learner",
    "feed",
    "streams",
    "runs",
    "trained",
    "following",
    "resuming",
    "recipe",
    "build",
    "defaults",
    "planning",
    "launching",
}  # of their own line

COLLECTIVES = {
    "all_gather",
    "all_to_all",
    "axis_index",
    "pbroadcast",
    "pcast",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
    "pvary",
    "shard_map",
}
# Where a package may be imported, by file or folder; those not named are free.
ONLY_IN = {
    "torch": ("porting/theirs.py", "porting/assets/dual_encoder.py"),
    "tensorflow": (),
    "tensorflow_datasets": ("data/sources/tfds.py",),
    "open_clip": ("porting/theirs.py",),
    "transformers": (  # only theirs.py, and what users run, needs torch
        "data/tokenizers.py",
        "data/standalone_tokenizer.py",
        "porting/assets/dual_encoder.py",
        "porting/hf.py",
        "porting/theirs.py",
    ),
    "ml_collections": (
        "adapting.py",
        "open_settings.py",
        "build.py",
        "recipe.py",
        "defaults.py",
        "runs.py",
        "starting.py",
        "trained.py",
        "portable.py",
        "proof.py",
        "resuming.py",
        "learner.py",
        "settings.py",
        "suites.py",
        "evaluations.py",
        "following.py",
        "feed.py",
        "streams.py",
        "cli.py",
        "launching/spec.py",
        "planning/",
    ),
    "orbax": ("checkpoint/",),
    "grain": ("data/",),
    "array_record": (
        "data/sources/array_record.py",
        "features/formats/array_record.py",
    ),
    "pyarrow": ("data/sources/parquet.py", "features/formats/parquet.py"),
    "fsspec": ("data/shards/files.py",),
    "simplejpeg": ("data/transforms/jpeg.py",),
    "cv2": ("data/transforms/jpeg.py",),
    "tensorboardX": ("core/logs.py",),
    "gradio": ("showing/page.py",),
    "fastapi": ("showing/page.py",),
    "uvicorn": ("showing/page.py",),
    "yaml": ("launching/manifest.py",),
}
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS, MOST_FIELDS = 300, 60, 6, 14
MOST_SETTINGS = 8
EXPLAINS_ITSELF = 12  # lines that a public function or class may have undocumented
SAYS_NOTHING = {"util", "utils", "common", "misc", "helper", "helpers"}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    """'models' for vlp_jax/models/vit.py, 'build' for vlp_jax/build.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Everything a file imports, inside functions too, as dotted names."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def definitions(path: Path, kind) -> list:
    return [node for node in ast.walk(parsed(path)) if isinstance(node, kind)]


def lines(node) -> int:
    return node.end_lineno - node.lineno + 1


def forbidden(importer: str, imported: str) -> bool:
    if importer == imported:
        return False
    if LEVELS[importer] == LEVELS[imported]:
        return importer not in FREE
    return LEVELS[importer] < LEVELS[imported]


def test_the_rules_bite():
    """Names of each kind of violation, so that a typo above cannot switch them off."""
    assert forbidden("models", "objectives") and forbidden("core", "parallel")
    assert forbidden("train", "evaluate") and forbidden("evaluation", "build")
    assert not forbidden("build", "models") and not forbidden("runs", "trained")
    code = "import jax\ndef f(x):\n    from jax import lax\n    return lax.psum(x, 'a')"
    assert collectives_used(ast.parse(code)) == {"psum"}
    assert builders(ast.parse("TABLE = {'a': f, 'b': lambda: 0}")) == {"f"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path):
    part = part_of(path)
    assert part in LEVELS, f"{part} has no place in LAYERS; give it one"
    for imported in imports(path):
        package, _, rest = imported.partition(".")
        if package == "vlp_jax":
            other = rest.split(".")[0]
            assert other in LEVELS, f"{name_of(path)} imports {imported}"
            assert not forbidden(part, other), f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_packages_stay_where_they_belong(path):
    for imported in imports(path):
        package = imported.split(".")[0]
        allowed = ONLY_IN.get(package, ("",))
        assert name_of(path).startswith(allowed), imported


def collectives_used(tree: ast.Module) -> set[str]:
    """Collectives by attribute (lax.psum) or import (from jax.lax import psum)."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in (
            "lax",
            "jax.lax",
            "jax",
        ):
            found.add(node.attr)
        if isinstance(node, ast.ImportFrom) and node.module in ("jax", "jax.lax"):
            found |= {alias.name for alias in node.names}
    return found & COLLECTIVES


def test_collectives_stand_in_one_file():
    assert len(FILES) > 30
    users = {name_of(path) for path in FILES if collectives_used(parsed(path))}
    assert users == {"parallel/collectives.py"}


def builders(tree: ast.Module) -> set[str]:
    """Functions that a table of the file lists: their keywords are a config."""
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ]
    values = [value for table in tables for value in table.values]
    return {value.id for value in values if isinstance(value, ast.Name)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sizes(path):
    name, settings_of = name_of(path), builders(parsed(path))
    count = len(path.read_text().splitlines())
    assert count <= LONGEST_FILE, f"{name} has {count} lines"
    for node in definitions(path, ast.FunctionDef | ast.AsyncFunctionDef):
        where = f"{name}:{node.lineno} {node.name}"
        assert lines(node) <= LONGEST_FUNCTION, f"{where} has {lines(node)} lines"
        arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        given = [a.arg for a in arguments if a.arg not in ("self", "cls")]
        most = MOST_FIELDS if node.name in settings_of else MOST_PARAMETERS
        most = MOST_SETTINGS if node.name == "__init__" else most  # often a config
        assert len(given) <= most, f"{where} takes {len(given)} parameters"
    for node in definitions(path, ast.ClassDef):
        if any(ast.unparse(base).endswith("nn.Module") for base in node.bases):
            fields = [x for x in node.body if isinstance(x, ast.AnnAssign)]
            assert len(fields) <= MOST_FIELDS, (
                f"{name} {node.name}: {len(fields)} fields"
            )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_say_something(path):
    assert path.stem not in SAYS_NOTHING and path.parent.name not in SAYS_NOTHING


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_public_says_what_it_is(path):
    """A module always; a function or class unless it is short or its name says it."""
    tree = parsed(path)
    assert not tree.body or ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            plain = node.name.startswith(("_", "make_")) or node.name == "main"
            plain = plain or lines(node) <= EXPLAINS_ITSELF
            where = f"{name_of(path)}:{node.lineno} {node.name}"
            assert plain or ast.get_docstring(node), f"{where} has no docstring"
