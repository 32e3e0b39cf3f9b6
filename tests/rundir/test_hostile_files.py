"""Files of a stranger: whatever they hold, nothing of it runs; each payload here would, if it were let."""

import ast
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.EpsImagePlugin
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from made_sets import noise, png, prepare_own
from opened_data import load_stored
from photo_folders import opened as open_folder
from photo_folders import write

import jaxvae
from jaxvae.config import Config
from jaxvae.config.schema import flatten
from jaxvae.data.tfds import prepared
from jaxvae.rundir import snapshots

PACKAGE = Path(jaxvae.__file__).parent
IMAGES, LABELS = noise(6, (5, 4, 3))


pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def mark(tmp_path):
    """The folder that a payload makes where it is executed."""
    path = tmp_path / "mark"
    yield path
    if path.exists():
        path.rmdir()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def stolen(content, mark):
    """That the pickle would have run."""
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()
    mark.rmdir()


# no pickle, no expression of a stranger, anywhere


FORBIDDEN = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "jsonpickle"}
FORBIDDEN |= {"multiprocessing", "runpy", "code", "codeop", "imp", "xmlrpc", "dbm"}
EVALUATES = {"eval", "exec", "compile", "__import__", "execfile", "system", "popen", "ProcessPoolExecutor"}
UNPICKLES = {"loads", "Unpickler", "read_pickle", "from_bytes_pickle"}


def trouble(tree):
    """What in a file's syntax tree could run what a stranger wrote."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN:
            yield node.module
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if (name in EVALUATES and owner in ("", "os", "builtins", "concurrent.futures")) or given.get("shell"):
                yield ast.unparse(node)
            if name == "load" and owner in ("np", "numpy") and given.get("allow_pickle") != "False":
                yield ast.unparse(node)
            if name in UNPICKLES and owner != "json":
                yield ast.unparse(node)


def test_no_file_of_the_package_unpickles_or_evaluates():
    found = {path.name: list(trouble(ast.parse(path.read_text()))) for path in PACKAGE.rglob("*.py")}
    run = found.pop("user_file.py")  # a user's own config, or parts that he trusts
    assert len(run) == 2  # exec, of compile
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from multiprocessing import Pool",
        "eval('1')",
        "np.load('x')",
        "np.load('x', allow_pickle=True)",
        "subprocess.run('x', shell=True)",
        "os.system('x')",
        "dill_like.loads(x)",
    ],
)
def test_the_walk_sees_what_it_looks_for(line):
    assert list(trouble(ast.parse(line)))


def test_a_users_file_is_run_from_two_places_alone():
    """The command line's --config, and a part of one's own, behind `trust`."""
    found = {path.name for path in PACKAGE.rglob("*.py") if "run_file(" in path.read_text()}
    assert found == {"user_file.py", "command_line.py", "parsing.py"}
    assert not any("spec_from_file_location" in path.read_text() for path in PACKAGE.rglob("*.py"))


# a run directory


@pytest.fixture
def run(tmp_path):
    """A run directory's config of a stranger; `write(**changed)` puts strings into its fields."""
    folder = tmp_path / "run"
    folder.mkdir()

    def written(name, text):
        config = Config()
        parts = name.split(".")
        owner = getattr(config, parts[0]) if len(parts) == 2 else config
        setattr(owner, parts[-1], text)
        content = {"version": 1, "config": dataclasses.asdict(config), "data": {"name": "digits", "shape": [8, 8, 1]}}
        (folder / "config.json").write_text(json.dumps(content))
        return folder

    return written


STRINGS = [name for name, (value, _) in flatten(Config()).items() if isinstance(value, str)]


@pytest.mark.parametrize("name", STRINGS)
def test_expressions_in_a_stored_config_are_not_evaluated(name, run, mark):
    call = f"__import__('os').mkdir({str(mark)!r})"
    for text in (call, f"mlp({call})", f"mlp(width={call})", f"mlp([{call} for _ in (1,)])", f"elbo(beta={call})"):
        with pytest.raises(
            ValueError, match=r"is no|expected|has no checkpoint|not a known|not a literal|several members"
        ):
            jaxvae.load(run(name, text))
    assert not mark.exists()
    eval(call)  # it would have
    assert mark.exists()


FACTORS = ["model.encoder", "model.posterior", "model.prior", "model.decoder", "model.likelihood", "objective"]


@pytest.mark.parametrize("name", [*FACTORS, "data.prepare", "data.corrupt", "optimizer.name", "optimizer.schedule"])
def test_a_stored_config_imports_no_file_unless_it_is_trusted(name, run, mark, tmp_path):
    (tmp_path / "mine.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    folder = run(name, f"{tmp_path / 'mine.py'}:part(3)")
    with pytest.raises(ValueError, match=r"--trust|is not known"):
        jaxvae.load(folder)
    assert not mark.exists()


def test_it_would_have_been_imported(run, mark, tmp_path):
    (tmp_path / "mine.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    with pytest.raises(ValueError, match="'part' is not a known encoder"):
        jaxvae.load(run("model.encoder", f"{tmp_path / 'mine.py'}:part(3)"), trust=True)
    assert mark.exists()


def test_pickled_frames_of_a_run_are_refused_by_name(tmp_path, mark):
    (tmp_path / "samples").mkdir()
    snapshots.save_frame(tmp_path, 0, np.zeros((2, 4, 4, 1)))
    assert list(snapshots.read_frames(tmp_path)) == [0]
    path = tmp_path / "samples" / "000000010.npy"
    evil = np.array([Bomb(mark)], dtype=object)
    for content in (evil, np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 5, 1), np.uint8), np.zeros(3, np.uint8)):
        np.save(path, content, allow_pickle=True)
        with pytest.raises(ValueError, match=r"000000010\.npy .*remove it"):
            snapshots.read_frames(tmp_path)
    for content in (b"", b"text", pickle.dumps(Bomb(mark)), path.read_bytes()[:-1], head((10**18, 4, 4, 1))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"000000010\.npy .*remove it"):
            snapshots.read_frames(tmp_path)
    stolen(pickle.dumps(Bomb(mark)), mark)
    path.unlink()
    (tmp_path / "samples" / "1x.npy").write_bytes(b"?")
    assert list(snapshots.read_frames(tmp_path)) == [0]


def head(shape):
    import io

    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + b"\0" * 100


ORBAX = """
import json, os, pickle, sys
from pathlib import Path
from unittest import mock
from jax import random
import jaxvae
from jaxvae.rundir import checkpoint, manifest
from jaxvae.config.serialization import save_config
from jaxvae.config.build import build
from jaxvae.config import Config, Model
from jaxvae.rundir.state import first_state

top, mark = Path(sys.argv[1]), sys.argv[2]
config = Config(model=Model(encoder="mlp(8)", decoder="mlp(8)"))
save_config(top / "config.json", config, {"name": "digits", "version": "1.0.0", "shape": [8, 8, 1], "images": {}})
with checkpoint.Saver(top / "checkpoints") as saver:
    saver.save(3, first_state(config, build(config, (8, 8, 1)), random.key(0), random.key(1)))

class Bomb:
    def __reduce__(self):
        return os.mkdir, (mark,)

strange = {"py/object": "os.system", "py/reduce": [{"py/type": "os.mkdir"}, [mark]], "__reduce__": ["os.mkdir", [mark]]}

def renamed(content):
    if isinstance(content, dict):
        return {name: renamed(value) for name, value in content.items()} | strange
    return [renamed(item) for item in content] if isinstance(content, list) else (
        "os.system" if isinstance(content, str) else content)

state = top / "checkpoints" / "3" / "state"
tried = 0
for path in [path for path in state.rglob("*") if path.is_file()]:
    before = path.read_bytes()
    contents = [pickle.dumps(Bomb()), json.dumps(strange).encode()]
    if before[:1] == b"{":
        contents.append(json.dumps(renamed(json.loads(before))).encode())
    for content in contents:
        path.write_bytes(content)
        assert manifest.find_damage(top / "checkpoints" / "3"), path  # the manifest names it
        with mock.patch("jaxvae.rundir.manifest.find_damage", return_value=None):  # as if it fitted
            try:
                jaxvae.load(top)
            except Exception as error:
                pass
        assert not os.path.exists(mark), path
        tried += 1
    path.write_bytes(before)
pickle.loads(pickle.dumps(Bomb()))
assert os.path.exists(mark)
print(tried)
"""


@pytest.mark.soak
def test_checkpoints_of_a_stranger_execute_nothing_with_a_fitting_manifest_too(tmp_path, mark):
    """In a process of its own: of damaged files Orbax's threads complain aloud."""
    folder = tmp_path / "run"
    folder.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", ORBAX, folder, mark], capture_output=True, text=True, check=False, timeout=300
    )
    assert child.returncode == 0, child.stderr[-3000:]
    assert int(child.stdout.split()[-1]) >= 20


# data sets


@pytest.mark.parametrize("place", ["top", "image", "json", "legacy"])
def test_a_prepared_folder_imports_no_module_of_a_stranger(place, tmp_path, mark, monkeypatch):
    """TFDS imports the module of every class that features.json names, also one that lies in the current folder."""
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = [{"image": png(image)} for image in IMAGES]
    prepare_own("own", {"image": tfds.features.Image(shape=(5, 4, 3))}, {"train": rows}, tmp_path)
    path = tmp_path / "own" / "1.0.0" / "features.json"
    content = json.loads(path.read_text())
    evil = {"pythonClassName": "evil.Feature", "image": {}}
    if place == "top":
        content["pythonClassName"] = "evil.Feature"
    elif place == "image":
        content["featuresDict"]["features"]["image"]["pythonClassName"] = "evil.Feature"
    else:
        inner = {"type": "evil.Feature", "content": {}} if place == "legacy" else evil
        text = json.dumps({"a": inner})
        content["featuresDict"]["features"]["more"] = {
            "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
            "jsonFeature": {"json": text},
        }
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"names the class 'evil\.Feature', whose module would be imported"):
        load_stored("own", tmp_path)
    assert not mark.exists()
    with pytest.raises(Exception):  # noqa: B017, PT011 (TFDS's own, of any kind)
        tfds.builder_from_directory(path.parent)
    assert mark.exists()  # it would have
    sys.modules.pop("evil", None)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("features.json", lambda text: text[: len(text) // 2], "cannot be read"),
        ("features.json", lambda text: "[" * 10**5, "cannot be read"),
        ("features.json", lambda text: "[]", "holds no JSON object"),
        ("features.json", lambda text: "{}", "TFDS cannot open"),
        ("dataset_info.json", lambda text: text.replace("{DATASET}", "../{DATASET}"), "names no plain file"),
        ("dataset_info.json", lambda text: text.replace("{DATASET}", "{DATASET:>9999999999}"), "names no plain file"),
        ("dataset_info.json", lambda text: text.replace("{DATASET}", "{DATASET.__class__}"), "names no plain file"),
        ("dataset_info.json", lambda text: text.replace('"6"', '"99999999999999"'), "promises 99,999,999,999,999"),
        ("features.json", lambda text: text.replace('"5"', '"500000000"'), r"shape \(500000000, 4, 3\); expected"),
    ],
)
def test_descriptions_that_cannot_be_are_refused_in_words(file, change, words, tmp_path):
    rows = [{"image": png(image)} for image in IMAGES]
    prepare_own("own", {"image": tfds.features.Image(shape=(5, 4, 3))}, {"train": rows}, tmp_path)
    path = tmp_path / "own" / "1.0.0" / file
    assert change(path.read_text()) != path.read_text()
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=words):
        load_stored("own", tmp_path)


def test_tfds_own_features_pass():
    own = {
        "image": tfds.features.Image(shape=(5, 4, 3)),
        "type": tfds.features.Text(),
        "boxes": tfds.features.Sequence({"bbox": tfds.features.BBoxFeature(), "name": tfds.features.Text()}),
        "mask": tfds.features.LabeledImage(labels=["a"], shape=(None, None, 1)),
    }
    content = tfds.features.FeaturesDict(own).to_json()
    named = [
        value for key, value in prepared._key_value_pairs(content) if key in prepared._CLASSES and type(value) is str
    ]
    assert len(named) >= 6
    assert all(prepared._CLASS.fullmatch(name) for name in named)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["records", "folder"])
def test_no_image_is_handed_to_another_program(kind, tmp_path, mark, monkeypatch):
    """Pillow gives EPS to Ghostscript, here one that leaves a mark."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nmkdir {mark}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(PIL.EpsImagePlugin, "gs_binary", None)
    if kind == "folder":
        with pytest.raises(ValueError, match=r"'1\.png': cannot identify image file"):
            open_folder(write(tmp_path / "top", {"1.png": EPS}))
    else:
        features = {"image": tfds.features.Image(shape=(5, 4, 3)), "more": tfds.features.Image(shape=(5, 4, 3))}
        prepare_own("good", features, {"train": [{"image": png(IMAGES[0]), "more": EPS}]}, tmp_path)
        np.testing.assert_array_equal(load_stored("good", tmp_path).splits["train"].image, IMAGES[:1])
        prepare_own("own", features, {"train": [{"image": EPS, "more": EPS}]}, tmp_path)
        with pytest.raises(ValueError, match=r"cannot read record 0 of own train.*it is no PNG, JPEG, BMP or GIF"):
            load_stored("own", tmp_path)
    assert not mark.exists()
    (tmp_path / "x.eps").write_bytes(EPS)
    with pytest.raises(Exception), PIL.Image.open(tmp_path / "x.eps") as image:  # noqa: B017, PT011
        image.load()
    assert mark.exists()  # it would have
