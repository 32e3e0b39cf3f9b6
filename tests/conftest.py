"""What all tests share: strict JAX, eight devices on the CPU, one compilation cache."""

import contextlib
import gc
import os
import signal
from importlib.metadata import version
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# less optimised programs compile in a third of the time; newer compilers lack the second flag, and abort on it
DEVICES = os.environ.get("JAXVAE_TEST_DEVICES", "8")
FLAGS = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"

if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # as of a job that a shell put in the background: Ctrl-C is tested
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402 (reads the flags above)
import pytest  # noqa: E402

UNDIAGNOSED = {"test_condition", "test_corrupt", "test_disk_space", "test_ensemble", "test_old_runs", "test_readme"}
UNDIAGNOSED |= {"test_rollback", "test_without_bound", "test_zoo_page"}


def pytest_sessionfinish():
    """Garbage is looked for once; pytest's own ten times would each walk through all that was compiled, for 15 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def strict_jax(tmp_path_factory):
    """[B] + [B, 1] is an error, and so is a key that is used twice; what was compiled once is kept between runs."""
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_debug_key_reuse", True)
    cache = os.environ.get("JAXVAE_TEST_COMPILED") or str(tmp_path_factory.getbasetemp().parent / "jaxvae-compiled")
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="module", autouse=True)
def undiagnosed(request):
    """What a diagnosis measures takes a second of every run: not in files that are about other things."""
    with (
        mock.patch("jaxvae.training.diagnosis.diagnose")
        if request.module.__name__ in UNDIAGNOSED
        else contextlib.nullcontext()
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Data sets are decoded into a folder of the tests' own."""
    before = os.environ.get("JAXVAE_CACHE")
    os.environ["JAXVAE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("JAXVAE_CACHE")
    if before is not None:
        os.environ["JAXVAE_CACHE"] = before


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A run directory of the digits, two latent dimensions, some steps old: to be looked at, without figures."""
    from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
    from jaxvae.training.train import train_and_evaluate

    config = Config(
        data=Data(batch_size=96, pipeline="resident"),
        model=Model(encoder="mlp(32)", decoder="mlp(32)"),
        optimizer=Optimizer(learning_rate=3e-3, ema=0.9),
        train=Train(steps=60, engine="scan", validate_every=30, checkpoint_every=60),
        evaluate=Evaluate(samples=1),
    )
    folder = tmp_path_factory.mktemp("looked-at") / "digits"
    with mock.patch("jaxvae.viz.figures.draw_figures"), mock.patch("jaxvae.training.diagnosis.diagnose"):
        train_and_evaluate(config, folder, say=lambda line: None)
    return folder


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def top(tmp_path):
    """Where the test's photos lie."""
    return tmp_path / "photos"


@pytest.fixture
def drawn(monkeypatch):
    """The matplotlib figures that are drawn, in order, to look at what is in them."""
    from matplotlib.figure import Figure

    figures = []

    class Recorded(Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr("jaxvae.viz.plots.style.Figure", Recorded)
    return figures
