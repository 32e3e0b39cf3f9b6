"""Several runs in one table: what is compared, what is refused, what is best."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest
from jax import random
from looked_at import make_subject

from jaxvae.cli import main
from jaxvae.latent import principal_axes
from jaxvae.rundir import CONFIG
from jaxvae.rundir.results import read_finished_run
from jaxvae.viz.figures.comparison import SAMPLE, Panel, codes_and_draws, plot_comparison
from jaxvae.viz.figures.subject import DRAW
from jaxvae.viz.report import comparison


@pytest.fixture(scope="module")
def one(digits_run):
    return read_finished_run(digits_run)


def like(one, name, *, elbo=None, samples=1, config=None, bits=True, **protocol):
    """The run under another name, with another ELBO, its likelihood of another K, another config or protocol."""
    test, run = dict(one.test), copy.copy(one.run)
    if elbo is not None:
        test["elbo"] = {"value": elbo, "stderr": 0.2}
        test["log_likelihood"] = {"value": elbo + 1, "stderr": 0.2, "samples": samples}
    run.config = config or run.config
    run.parts = dataclasses.replace(run.parts, bits=bits)
    return dataclasses.replace(one, name=name, run=run, test=test, protocol=one.protocol | protocol)


@pytest.mark.parametrize("name", ["data", "split", "binarization", "draws", "units"])
def test_runs_measured_otherwise_are_refused_and_mixed_with_a_warning(one, name):
    found = [one, like(one, "b", **{name: "otherwise"}), like(one, "c")]
    with pytest.raises(ValueError, match=rf"differ in {name}.* b: otherwise\. .*--mixed"):
        comparison.require_one_protocol(found)
    table = comparison.compare_runs(found)
    assert table.differs[name]["otherwise"] == ["b"]
    assert name not in table.protocol
    for text in (comparison.as_text(table), comparison.as_markdown(table)):
        assert f"NOT COMPARABLE in {name}: digits, c: " in text


def test_densities_under_another_likelihood_are_refused(one):
    def under(likelihood, bits):
        model = dataclasses.replace(one.run.config.model, likelihood=likelihood)
        return like(one, likelihood, config=dataclasses.replace(one.run.config, model=model), bits=bits)

    comparison.require_one_protocol([under("gaussian", True), under("beta", True)])  # both bits of coded pixels
    with pytest.raises(ValueError, match=r"differ in likelihood, .* gaussian: gaussian; beta: beta"):
        comparison.require_one_protocol([under("gaussian", False), under("beta", False)])


def test_the_best_is_marked_where_numbers_compare_and_a_likelihood_of_another_k_is_another_column(one):
    found = [like(one, "a", elbo=-80.0, samples=10), like(one, "b", elbo=-90.5, samples=10), like(one, "c", elbo=-95.0)]
    table = comparison.compare_runs(found)
    head, first, second, third = table.cells(str, "[{}]".format)
    assert [title for title in head if title.startswith("log p(x)")] == ["log p(x), K = 10", "log p(x), K = 1"]
    elbo, ten, single = (head.index(title) for title in ("ELBO", "log p(x), K = 10", "log p(x), K = 1"))
    assert (first[elbo], second[elbo]) == ("[−80.00 ± 0.20]", "−90.50 ± 0.20")
    assert (first[ten], third[ten], third[single]) == ("[−79.00 ± 0.20]", "–", "−94.00 ± 0.20")  # alone: not the best
    assert first[head.index("distortion")] == second[head.index("distortion")]  # equal: none is the best
    mixed = comparison.compare_runs([*found, like(one, "d", elbo=-1.0, data="other")])
    assert not any("[" in cell for line in mixed.cells(str, "[{}]".format) for cell in line)


def test_a_difference_to_the_best_run_is_paired_over_images(one):
    found = [like(one, "a", elbo=-80.0), like(one, "b", elbo=-81.0), like(one, "c", elbo=-83.0)]
    draw = np.random.RandomState(0)
    common = draw.normal(-80, 10, 50)
    scores = [common, common - 1 + 0.1 * draw.normal(size=50), common - 3]
    paired = [dataclasses.replace(run, scores={"elbo": own}) for run, own in zip(found, scores, strict=True)]
    head, *lines = comparison.compare_runs(paired).cells(str, str)
    cells = [line[head.index("ELBO, to best")] for line in lines]
    error = (scores[1] - common).std(ddof=1) / np.sqrt(50)
    assert cells == ["–", f"−{common.mean() - scores[1].mean():.3f} ± {error:.3f}", "−3"]
    for others in (found[1:], [dataclasses.replace(paired[1], protocol={"draws": "others"})]):
        assert "ELBO, to best" not in comparison.compare_runs([paired[0], *others]).cells(str, str)[0]


def test_a_table_lists_what_the_configs_differ_in_and_nothing_else(one):
    config = one.run.config
    changed = dataclasses.replace(
        config,
        objective="elbo(beta=4|)",
        data=dataclasses.replace(config.data, data_dir="elsewhere"),
        train=dataclasses.replace(config.train, seed=7),
    )
    other = like(one, "b", config=changed)
    table = comparison.compare_runs([one, other])
    assert [row.config for row in table.runs] == [{"objective": config.objective}, {"objective": "elbo(beta=4|)"}]
    assert "elbo(beta=4\\|)" in comparison.as_markdown(table)


def test_runs_are_compared_from_the_command_line(digits_run, tmp_path, capsys):
    other = shutil.copytree(digits_run, tmp_path / "other")
    out = tmp_path / "out"
    assert main(["compare", str(digits_run), str(other), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].startswith("digits ")
    assert text.splitlines()[2].startswith("other ")
    table = json.loads((out / "table.json").read_text())
    assert table["runs"][0]["test"]["elbo"] == table["runs"][1]["test"]["elbo"]
    assert (out / "table.md").read_text().startswith("| run |")
    with np.load(out / "figure.npz") as arrays:
        assert arrays["digits.codes"].shape == arrays["digits.drawn"].shape == (360, 2)
        np.testing.assert_array_equal(arrays["digits.codes"], arrays["other.codes"])
        assert not np.array_equal(arrays["digits.codes"], arrays["digits.drawn"])
    assert (out / "figure.svg").exists()


def test_a_comparison_is_written_into_the_first_run_and_not_where_one_works(digits_run, tmp_path, monkeypatch, capsys):
    one, two = (shutil.copytree(digits_run, tmp_path / name) for name in ("one", "two"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["compare", str(one), str(two)]) == 0
    assert str(one / "explored" / "compared" / "table.md") in capsys.readouterr().out
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("RUN", "two runs or more, and 1 was given"),
        ("RUN RUN", "two runs are called digits"),
        ("RUN nowhere", "nowhere is no run directory"),
    ],
)
def test_what_is_no_comparison_is_refused(argv, words, digits_run, capsys):
    assert main(["compare", *argv.replace("RUN", str(digits_run)).split()]) == 2
    assert words in capsys.readouterr().err


def test_codes_and_draws_of_the_prior_lie_on_the_codes_own_plane():
    subject, positions = make_subject(latent_dim=3), np.arange(20)
    (codes, drawn, labels), looked = codes_and_draws(subject, positions), subject.examples(positions)
    z = np.asarray(subject.run.encode(looked.x).sample(random.split(subject.key_for(DRAW), 20)))
    middle, axes, _ = principal_axes(z)
    np.testing.assert_allclose(codes, (z - middle) @ axes, atol=1e-5)
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-5)
    z = np.asarray(subject.run.generate(random.split(subject.key_for(SAMPLE), 20))[0])
    np.testing.assert_allclose(drawn, (z - middle) @ axes, atol=1e-5)
    np.testing.assert_array_equal(labels, subject.classes[positions])


def test_the_members_of_a_sweep_are_compared_each(one, digits_run, tmp_path):
    for seed in (0, 1):
        shutil.copytree(digits_run, tmp_path / "sweep" / f"seed_{seed}")
    content = json.loads((digits_run / CONFIG).read_text())
    content.pop("sha256", None)
    content["config"]["train"]["seeds"] = 2
    (tmp_path / "sweep" / CONFIG).write_text(json.dumps(content))
    assert [each.name for each in comparison.read_runs([tmp_path / "sweep"])] == ["seed_0", "seed_1"]


def test_a_run_without_a_vector_for_a_latent_has_its_place_in_the_figure(tmp_path):
    pictures = np.zeros((4, 6, 6, 3))
    panel = Panel(None, None, None, pictures, pictures, pictures)
    plot_comparison(tmp_path / "a.png", {"vq": panel, "other": panel}, {"vq": None, "other": (1.0, 2.0)})
    assert (tmp_path / "a.png").exists()
    with pytest.raises(ValueError, match="7 runs to draw side by side"):
        plot_comparison(tmp_path / "a.png", dict.fromkeys("abcdefg", panel), {})
