"""The rules of the diagnosis: from measured numbers to findings, each with a sentence and an option that helps.

A finding is {"name", "level", "says", "numbers", "remedy"}. `level` is 'fine', 'note' (what one should know before one
reads the numbers) or 'illness'; `remedy` a part of a command line, or None. What a model does not have is left out.
"""

import ast
import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from jaxvae.config import Config
from jaxvae.evaluate.aggregate_posterior import divergence_bounds

__all__ = ["Numbers", "apply_rules"]

_UNUSED = 0.01  # nats: a latent dimension with a smaller KL is not used
_COLLAPSED = 0.1  # nats: codes that say less of their images say nothing
_SIGMA_NOTE, _SIGMA_ILLNESS = 1.5, 4.0  # factors by which the KL weighs too much or too little
_APART_NOTE, _APART_ILLNESS = 0.6, 0.7  # accuracies of the two-sample test, where 1/2 is chance
_KL_NOTE, _KL_ILLNESS = 0.25, 1.0  # nats, of the prior
_SATURATED = 0.9  # information that is this share of log N says that N is too small
_GAP_ERRORS, _GAP_SHARE = 3.0, 0.01  # overfitting: standard errors, and share of the score
_USED_NOTE, _USED_ILLNESS = 0.5, 0.1  # share of a codebook in use
_PATIENCE = 5
_WORSE = 0.1  # share by which diverged weights score worse than untrained ones, at least
_STABLE_RATE = 1e-3  # the largest learning rate to try after a divergence
_FEWEST_VALIDATIONS, _LATE, _LATE_GAIN = 4, 0.75, 0.05  # still improving: share of the gain after 3/4 of the steps
_WITHOUT_BETA = ("iwae", "miwae", "ciwae", "piwae", "renyi")  # objectives that weigh the rate as the bound does
_LEVELS = ("illness", "note", "fine")

_Finding = dict[str, Any]
Numbers = Mapping[str, Any]


def apply_rules(config: Config, numbers: Numbers, measured: dict[str, Any], betas: Sequence[float]) -> list[_Finding]:
    """Returns all findings, the worst first.

    Args:
        numbers: the scores of a split, as in results.json.
        measured: of the same split, by `measure_run`; with `validation`, the steps and scores of validations.
        betas: of the lines of metrics.jsonl.
    """
    betas = [beta for beta in betas if math.isfinite(beta)]
    diverged = _find_divergence(config, numbers, measured, betas)
    found = [diverged]
    if not diverged or diverged["numbers"]:
        others = [
            _find_collapse(config, numbers, measured, betas),
            _effective_beta(config, numbers, betas),
            _find_wrong_sigma(numbers, measured),
            _find_holes(config, numbers, measured, betas),
            _find_overfitting(config, measured),
            _find_dead_codes(measured),
            _find_few_steps(config, measured),
        ]
        found += [each | {"remedy": None} if each and diverged else each for each in others]
    about_split = [each | {"numbers": {"split": measured["split"]} | each["numbers"]} for each in found if each]
    return sorted(about_split, key=lambda each: _LEVELS.index(each["level"]))


def _make_finding(name: str, level: str, says: str, numbers: dict[str, Any], remedy: str | None = None) -> _Finding:
    return {"name": name, "level": level, "says": says, "numbers": numbers, "remedy": remedy}


def _find_divergence(
    config: Config, numbers: Numbers, measured: dict[str, Any], betas: Sequence[float]
) -> _Finding | None:
    """Finds weights that score worse than untrained ones in what was minimised: distortion + beta x rate, beta <= 1."""
    rate, distortion = numbers["rate"]["value"], numbers["distortion"]["value"]
    remedy = _option("optimizer.learning_rate", f"{min(config.optimizer.learning_rate / 10, _STABLE_RATE):g}")
    if not math.isfinite(rate + distortion):
        says = "Scores of some images are not finite. Training may have diverged; its log names the step."
        return _make_finding("divergence", "illness", says, {}, remedy)
    if "untrained" not in measured:
        return None
    like_bound = config.objective.partition("(")[0].strip() in _WITHOUT_BETA
    weight = min(1.0, betas[-1]) if betas else float(like_bound)
    untrained = measured["untrained"]["distortion"] + weight * measured["untrained"]["rate"]
    trained = distortion + weight * rate
    if trained - untrained <= max(_GAP_ERRORS * numbers["distortion"]["stderr"], _WORSE * abs(untrained)):
        return None
    cost = f"distortion + {weight:.3g} x rate" if weight else "distortion"
    says = (
        f"Training diverged: {cost} is {trained:.4g} nats, and {untrained:.4g} with untrained weights. "
        "Repair this first; the other findings describe the weights that diverged."
    )
    found = {"trained": trained, "untrained": untrained, "rate_weight": weight}
    return _make_finding("divergence", "illness", says, found, remedy)


def _find_collapse(
    config: Config, numbers: Numbers, measured: dict[str, Any], betas: Sequence[float]
) -> _Finding | None:
    """Posterior collapse: codes that say nothing of their images; with unused dimensions, what they are."""
    if "elbo" not in numbers:
        return None
    rate = numbers["rate"]["value"]
    information = min(rate, measured["meeting"].get("information", rate))
    found, words = {"rate": rate, "information": information}, ""
    if "active_units" in numbers:
        found |= {"active_units": numbers["active_units"]["value"], "of": numbers["active_units"]["of"]}
        words = f" {found['active_units']} of {found['of']} latent dimensions are active."
    if information < _COLLAPSED:
        says = (
            f"The posterior has collapsed: a code says {max(information, 0):.2g} nats of its image, for a rate of "
            f"{rate:.2g}.{words} The decoder ignores z, and every reconstruction is the same average."
        )
        return _make_finding("collapse", "illness", says, found, _against_collapse(config, measured, betas))
    if "kl_per_dimension" in numbers:
        each = numbers["kl_per_dimension"]["value"]
        found["unused"] = sum(kl < _UNUSED for kl in each)
        if found["unused"]:
            says = f"{found['unused']} of {len(each)} latent dimensions carry less than {_UNUSED} nats and are not used"
            return _make_finding("collapse", "note", f"{says}: the model chose its own size.", found)
    return _make_finding("collapse", "fine", f"The codes carry {rate:.3g} nats of an image.{words}", found)


def _against_collapse(config: Config, measured: dict[str, Any], betas: Sequence[float]) -> str:
    """What brings the codes back: the cause where the numbers name one, else a warm-up, else free nats."""
    if "sigma" in measured and _distortion_weight(measured["sigma"]) > _SIGMA_ILLNESS:
        return _option("model.likelihood", "gaussian('optimal')")
    if betas and betas[-1] > 1:
        return _option("objective", "elbo(beta=1.0)")
    if not all(_same_rounded(beta, betas[-1]) for beta in betas):  # beta had a schedule
        return _option("objective", "elbo(free_nats=0.5, per='dimension')")
    return _option("objective", f"elbo(beta=linear(0, 1, steps={max(1, config.train.steps // 4)}))")


def _effective_beta(config: Config, numbers: Numbers, betas: Sequence[float]) -> _Finding | None:
    """The weight of the rate at the last step, where the objective is an elbo with one."""
    if not betas or config.objective.partition("(")[0].strip() != "elbo":
        return None
    beta, found = betas[-1], {"beta": betas[-1]}
    if _same_rounded(beta, 1):
        says = "At the last step beta was 1: what was maximised is the bound itself."
        return _make_finding("beta", "fine", says, found)
    means = (
        f"a nat of rate cost {beta:.3g} times what the bound asks, so that codes carry "
        f"{'more' if beta < 1 else 'less'} than pays. elbo and log p(x) are measured at beta = 1: still bounds, but "
        "lower than this model could reach."
    )
    if len(betas) > 1 and not _same_rounded(beta, betas[-2]):
        says = f"At the last step beta was {beta:.3g} and still on its way: {means}"
        tree, half = ast.parse(config.objective, mode="eval"), max(1, config.train.steps // 2)
        steps = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "steps"]
        for keyword in steps:  # its schedules are done at half the steps
            keyword.value = ast.Constant(half)
        remedy = ast.unparse(tree) if steps else f"elbo(beta=linear(0, 1, steps={half}))"
        return _make_finding("beta", "illness", says, found, _option("objective", remedy))
    return _make_finding("beta", "note", f"beta was {beta:.3g}: {means}", found)


def _find_wrong_sigma(numbers: Numbers, measured: dict[str, Any]) -> _Finding | None:
    """A Gaussian's sigma against the one that the reconstructions imply (Rybkin et al. 2021, arXiv 2006.13202)."""
    if "sigma" not in measured or "elbo" not in numbers:
        return None
    factor = _distortion_weight(measured["sigma"])
    found = measured["sigma"] | {"factor": factor}
    off = max(factor, 1 / factor) if factor > 0 else math.inf
    says = f"The likelihood's sigma is {found['used']:.3g}; the reconstructions miss by {found['implied']:.3g} "
    says += "(root mean square)"
    if off <= _SIGMA_NOTE:
        return _make_finding("sigma", "fine", f"{says}, as it should be.", found)
    weight = f"{factor:.3g} times too much" if factor > 1 else f"{1 / factor:.3g} times too little"
    effect = "the codes are kept too poor" if factor > 1 else "the codes are too precise to be drawn from the prior"
    says += f". By (sigma / implied sigma)^2 the KL weighs {weight} against them: {effect}."
    level = "illness" if off > _SIGMA_ILLNESS else "note"
    return _make_finding("sigma", level, says, found, _option("model.likelihood", "gaussian('optimal')"))


def _distortion_weight(sigma: dict[str, float]) -> float:
    """(sigma / implied sigma)^2: as beta would, with the right sigma."""
    return (sigma["used"] / max(sigma["implied"], 1e-30)) ** 2


def _find_holes(config: Config, numbers: Numbers, measured: dict[str, Any], betas: Sequence[float]) -> _Finding | None:
    """Whether the codes of images and the prior's draws meet: where no code is, the decoder never learned anything."""
    found = measured["meeting"]
    if "codebook" in measured:
        return None
    if not found:
        says = "Not measured: for one image, several latents, a prior of the condition."
        return _make_finding("holes", "note", says, {})
    least, most = divergence_bounds(found)
    found = found | {"least": least} | ({"most": most} if "divergence" in found else {})
    apart, error = found["told_apart"], found["told_apart_stderr"]
    sure = apart if apart - 0.5 > _GAP_ERRORS * error else 0.5
    test = (
        f"a nearest-neighbour classifier separates {found['examples']:,} codes of images from as many draws of the "
        f"prior in {apart:.0%} +- {error:.1%} of cases (chance is 50%)"
    )
    evidence = [(_level_of(sure, _APART_NOTE, _APART_ILLNESS), "two-sample test", test)]
    if "divergence" in found:
        text = f"KL(q(z) || p(z)) is between {least:.2g} and {most:.2g} nats, "
        text += f"of a rate of {max(found['rate'], 0.0):.3g}"  # noise can bring it below 0
        if found["information"] > _SATURATED * math.log(found["examples"]):
            text += f"; {found['examples']:,} images are too few for closer bounds"
        evidence.append((_level_of(least, _KL_NOTE, _KL_ILLNESS), "KL", text))
    evidence.sort(key=lambda each: _LEVELS.index(each[0]))  # what decides first
    level, _, says = evidence[0]
    for other, name, text in evidence[1:]:
        agrees = level == "fine" or other != "fine"
        says += f". {text[0].upper()}{text[1:]}" if agrees else f". The {name} does not show this: {text}"
    if level == "fine":
        return _make_finding("holes", "fine", f"Samples come from where the codes are: {says}.", found)
    says = f"Samples come from where codes are rare, and look worse than reconstructions: {says}."
    return _make_finding("holes", level, says, found, _against_holes(config, numbers, betas))


def _level_of(value: float, note: float, illness: float) -> str:
    """Returns the level of a value whose limits these are."""
    return "illness" if value > illness else "note" if value > note else "fine"


def _against_holes(config: Config, numbers: Numbers, betas: Sequence[float]) -> str | None:
    """A posterior that is held near the prior, or a prior that learns where the codes are."""
    model = config.model
    if model.posterior == "point":
        return f"{_option('model.posterior', 'diagonal')} {_option('objective', 'elbo(beta=1.0)')}"
    if betas and betas[-1] < 0.99 and "elbo" in numbers:
        return _option("objective", "elbo(beta=1.0)")
    if model.prior in ("standard", "gaussian"):
        return _option("model.prior", "realnvp()" if model.latent_dim > 1 else "mixture()")
    return None


def _find_overfitting(config: Config, measured: dict[str, Any]) -> _Finding | None:
    """Finds how much better training images score, and whether validation fell meanwhile."""
    if "gap" not in measured:
        return None
    found = measured["gap"]
    value, error, score = found["value"], found["stderr"], found["score"]
    sizes = f"{found['train_examples']:,} training and {found['examples']:,} {measured['split']} images"
    says = f"training images score {value:.3g} +- {error:.2g} nats better than others ({sizes})"
    if not (value > _GAP_ERRORS * error and value > _GAP_SHARE * abs(score)):
        return _make_finding("overfitting", "fine", f"No overfitting: {says}.", found)
    more = "More images help. Smaller networks or dropout may help or harm: compare validation scores."
    history = measured.get("validation") or [(0, 0.0)]
    best, last = max(history, key=itemgetter(1))[0], history[-1][0]
    if last and best == last:
        says = f"The {says}. Validation still rose at the last step, so early stopping would not help. {more}"
        return _make_finding("overfitting", "note", says, found)
    peak = f" Validation was best at step {best:,} of {last:,}." if last else ""
    remedy = None
    if config.train.patience is None:
        held = "" if config.data.validation else " " + _option("data.validation", "0.1")
        remedy = _option("train.patience", str(_PATIENCE)) + held
    return _make_finding("overfitting", "illness", f"The model overfits: {says}.{peak} {more}", found, remedy)


def _find_few_steps(config: Config, measured: dict[str, Any]) -> _Finding | None:
    """Finds a validation score that still rose: by how much over the last quarter of the steps."""
    history = measured.get("validation", [])
    if len(history) < _FEWEST_VALIDATIONS:
        return None
    (_, first), (last, score) = history[0], history[-1]
    before = max(each for each in history if each[0] <= max(_LATE * last, history[0][0]))[1]
    found = {"best_step": max(history, key=itemgetter(1))[0], "last_step": last, "late_gain": score - before}
    if found["best_step"] < last or found["late_gain"] <= _LATE_GAIN * (score - first):
        says = f"The best of {len(history)} validations was at step {found['best_step']:,} of {last:,}."
        return _make_finding("steps", "fine", says, found)
    says = f"Validation was still rising: it gained {score - before:.3g} nats over the last quarter of {last:,} steps. "
    says += "With more steps, the same command continues the run."
    return _make_finding("steps", "note", says, found, _option("train.steps", str(2 * config.train.steps)))


def _find_dead_codes(measured: dict[str, Any]) -> _Finding | None:
    """How much of a codebook is in use."""
    if "codebook" not in measured:
        return None
    found = measured["codebook"]
    share = found["used"] / max(1.0, found["expected"])
    says = (
        f"{found['used']:,} of {found['codes']:,} codes were chosen for these images; "
        f"used equally often, {found['expected']:,.0f} would be"
    )
    if share >= _USED_NOTE:
        return _make_finding("dead codes", "fine", f"The codebook is in use: {says}.", found)
    level = "illness" if share < _USED_ILLNESS else "note"
    says = f"Most of the codebook is dead: {says}. Its rate is paid for codes that nothing has."
    return _make_finding("dead codes", level, says, found, _option("model.posterior", "fsq(levels=(8, 5, 5, 5))"))


def _same_rounded(one: float, other: float) -> bool:
    """Whether two values of beta are the same, to float32's rounding."""
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)


def _option(field: str, value: str) -> str:
    """The option that sets a field of the config, quoted for a shell."""
    quote = "" if value.replace(".", "").isalnum() else '"' if "'" in value else "'"
    return f"--config.{field}={quote}{value}{quote}"
