"""The numbers of results.json as lines for a terminal."""

from jaxvae.rundir.results import format_results
from jaxvae.runtime.console import format_bound


def test_large_numbers_are_in_scientific_form():
    numbers = {
        "examples": 360,
        "elbo": {"value": -282715072.0, "stderr": 1.2e6},
        "rate": {"value": 13.25, "stderr": 1.0},
    }
    lines = format_results({"step": 10, "test": numbers})
    assert [" ".join(line.split()) for line in lines[1:]] == ["elbo -2.827e+08 +- 1.2e+06", "rate 13.250 +- 1.000"]
    assert format_bound({"elbo": -282715072.0, "rate": 13.25}) == "elbo -2.827e+08  rate 13.25"
