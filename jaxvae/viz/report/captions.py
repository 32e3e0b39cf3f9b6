"""The texts of the report: what each figure means, for a reader who has just learned what a VAE is."""

from typing import NamedTuple

__all__ = ["CAPTIONS", "CURVES", "QUESTIONS", "Caption", "describe_figure", "place_figure"]


class Caption(NamedTuple):
    """The texts of a figure; the alternative is for readers who cannot see it."""

    title: str
    alternative: str
    text: str


class _Question(NamedTuple):
    """A section of the report: its title, its id in the page, its introduction, and the figures that answer it."""

    title: str
    anchor: str
    introduction: str
    figures: str  # their names, with spaces


_BLUR = "Blur is expected: the picture is the mean of p(x|z), an average of plausible images for this code."
# by the stem of the figure's file
CAPTIONS = {
    "reconstructions": Caption(
        "What survives the code",
        "Rows of original images, each above the image that the decoder makes of its code, and above their difference.",
        "Above, an image; below it, its reconstruction. The residual shows what was lost: orange where the image is "
        f"brighter than its reconstruction, blue where it is darker. {_BLUR}",
    ),
    "samples": Caption(
        "What the model imagines",
        "A grid of generated images.",
        "Each z was drawn from the prior p(z) and decoded. The pictures are means of p(x|z), not draws. If they "
        "look worse than the reconstructions, the prior covers places without codes, which the decoder never learned.",
    ),
    "manifold": Caption(
        "The latent space, decoded",
        "A mosaic of decoded images that change gradually along both latent dimensions.",
        "Every point of a two-dimensional latent space is an image. The steps are equally probable under the prior, so "
        "all tiles are equally likely samples. Look for smooth changes, and for regions where images are ambiguous.",
    ),
    "interpolation": Caption(
        "From one image to another",
        "Rows of decoded images that change gradually from one test image into another.",
        "At the ends of a row are two images; between them, pictures of evenly spaced points between their codes. All "
        "should be plausible images. Two images on top of each other show a hole: no image's code is near.",
    ),
    "traversal": Caption(
        "What each dimension says",
        "Rows of decoded images; in each row one latent dimension moves from low to high, the others are fixed.",
        "Each row moves one latent dimension and keeps the others in the middle. Beside it is its rate; the largest "
        "rates come first. A row that changes one thing alone (slant, width) is a dimension with a meaning of its own.",
    ),
    "latent_plane": Caption(
        "Where the encoder puts the images",
        "A scatter plot of posterior means of images in two dimensions, coloured by label, with ellipses around some.",
        "Each dot is one image at the mean of its q(z|x). The colours are the labels, which only a conditional model "
        "is given. The dashed circles hold 39% and 86% of a standard normal prior: samples hardly ever resemble images "
        "far outside. An ellipse is one standard deviation of q(z|x). Where ellipses overlap, so do the codes.",
    ),
    "kl_per_dimension": Caption(
        "Which dimensions carry information",
        "A bar chart of the KL divergence of each latent dimension, sorted, active and inactive ones marked.",
        "The rate, split by latent dimension. A dimension near 0 is the same for every image; the decoder has learned "
        "to ignore it. This is called posterior collapse, and it is also how a VAE chooses its own size.",
    ),
    "curves": Caption(
        "How training went",
        "Line charts of ELBO, rate and distortion against the training step.",
        "The ELBO rises while the model learns. A validation curve that turns down while training still rises shows "
        "overfitting. Nats spent on the code (rate up) must save more in the reconstruction (distortion down).",
    ),
    "training": Caption(
        "The same codes as training goes on",
        "Rows of generated images, one row per step of training, from the first to the last.",
        "Each column is one fixed z while the decoder changes. Early rows show the average image; details come last.",
    ),
    "latent_map": Caption(
        "Which images have similar codes",
        "A scatter plot of images placed by t-SNE, near their neighbours in the latent space, coloured by label.",
        "No plane shows all of many dimensions. This map (t-SNE) keeps each image near its nearest neighbours in z. "
        "The distances, sizes and positions of groups mean nothing. Groups that are separate here are separate in z.",
    ),
    "temperatures": Caption(
        "What the temperature does",
        "Rows of generated images, a row for each temperature; each column is the same draw from the prior.",
        "The prior's spread is multiplied by the temperature. Below 1 the draws stay near the prior's middle and are "
        "typical. Above 1 they vary more and fail more often. Only at 1 are these samples of the model.",
    ),
    "plane": Caption(
        "The latent space unfolds",
        "A film of dots, one for each image, coloured by label, that separate from one heap into groups.",
        "Each dot is one image at the mean of its q(z|x). At first all are in a heap; then they separate.",
    ),
    "walk": Caption(
        "A walk through the latent space",
        "A film of a decoded image that changes while a dot moves along a closed path through the latent space.",
        "The dot is z, the image the mean of p(x|z) there. In a continuous space, small steps change the image little.",
    ),
    "inpainting": Caption(
        "What is missing, filled in",
        "Rows of images: originals, the same with pixels hidden in flat blue, three completions each, and their mean.",
        "A Markov chain draws in turn a code for the image and the blue pixels for that code; a completion is the "
        "picture of its last code. Where completions differ, the visible pixels leave a choice, and the mean is "
        "blurred. A chain with an acceptance rate below 1% hardly moved.",
    ),
    "denoising": Caption(
        "Noise, averaged away",
        "Rows of images: originals, the same with noise, and what the model makes of the noisy ones.",
        "Many codes are drawn for the noisy image, and their pictures averaged. What no code holds is lost: the noise, "
        "and with it what is rare in the image. A model trained without noise takes the image for a clean one.",
    ),
    "anomaly": Caption(
        "Does the model notice what is new?",
        "ROC curves of four scores, histograms of the first, and rows of the least and most strange images.",
        "The model was trained without the classes left out. Each score says how strange an image is. The area under "
        "its curve is the chance that it ranks an image of a new class above one of a known class: 1 is perfect, 0.5 "
        "is guessing; ± is the standard error. Plain images, of few pixels, are probable even if they are strange.",
    ),
    "compression": Caption(
        "The model as a compressor",
        "A chart of signal-to-noise ratio against bits for principal components, JPEG and this model; images below.",
        "The star is this model: its bits are the rate, which relative entropy coding comes near (no file was "
        "written). The curves are of files: principal components of training images with entropy-coded coefficients, "
        "and one JPEG mosaic of all images. Above a curve, the model is the better compressor. A Bernoulli model was "
        "not trained for squared error. Where JPEG cannot be as short as the model, its shortest is shown.",
    ),
    "neighbours": Caption(
        "Which images are near",
        "Rows: an image, its nearest training images by pixels, and its nearest by codes.",
        "If codes keep what matters, the nearest by codes have the same class, and a vote of the five nearest is right "
        "more often than by pixels. Codes of a conditional model need not hold the class: fewer are right.",
    ),
    "sensitivity": Caption(
        "Small changes",
        "Rows of pictures of codes moved step by step; below, a chart of how far codes move when images are changed.",
        "Above, a code moves by equal lengths in the directions that change its picture most and least. The number is "
        "the change in pixel values for a step of length 1. Below, the image changes a little, and its code moves: "
        "less than the spread of q(z|x) is nearly the same code.",
    ),
    "conditional": Caption(
        "The class, and everything else",
        "A grid of generated images: a row each for a code, a column each for a class.",
        "Each row is one draw of z, decoded as every class. What stays the same along a row is in z: slant, weight, "
        "size. What changes is in the class. If rows have nothing in common, z still holds the class, too.",
    ),
    "attribute": Caption(
        "An attribute, added",
        "Rows of decoded images, each row one image's code moved along a direction, above charts of what has changed.",
        "The direction goes from the mean code of images without the attribute to that of those with it. Each row is "
        "one image, moved along it; the framed column is its own code. Below, a classifier measures how often the "
        "attribute appears, and what else changed (95% intervals). A good direction changes only the orange bar.",
    ),
    "arithmetic": Caption(
        "Arithmetic with codes",
        "Three decoded images with a minus and a plus between them, the decoded result, and real images below each.",
        "Codes can be added: what the first has and the second has not, put into the third. Small images are those "
        "whose codes were averaged; below the result, the real images whose codes are nearest to it.",
    ),
}

# instead of "reconstructions" for a model that was trained on corrupted inputs
_RESTORED = Caption(
    "What is restored",
    "Rows of original images, each above the same image corrupted, and below that what the decoder makes of its code.",
    "Above, an image; below it, the image corrupted as in training, the encoder's only input; at the bottom, the "
    f"reconstruction. What was restored was learned from other images. {_BLUR}",
)

# (title, unit) of the quantities of metrics.jsonl, in their order
CURVES = {
    "elbo": ("ELBO, larger is better", "nats"),
    "loss": ("Loss, what is minimised", ""),
    "rate": ("Rate, KL(q(z|x) ‖ p(z))", "nats"),
    "distortion": ("Distortion, −E[log p(x|z)]", "nats"),
    "perplexity": ("Codes in use (perplexity)", ""),
    "learning_rate": ("Learning rate", ""),
    "beta": ("β, the weight of the rate", ""),
    "grad_norm": ("Gradient norm", ""),
    "scale": ("What the updates are multiplied by", ""),
    "skipped": ("Steps skipped so far", ""),
    "streak": ("Steps skipped in a row", ""),
    "spikes": ("Losses far above so far", ""),
}

QUESTIONS = [
    _Question(
        "What does the code keep?",
        "keeps",
        "An image is turned into a few numbers and back. What comes back is all that the model keeps of it.",
        "reconstructions compression inpainting denoising sensitivity anomaly",
    ),
    _Question(
        "What does it imagine?",
        "imagines",
        "The inputs are random numbers only, and the class or attribute that is asked for.",
        "samples temperatures conditional neighbours",
    ),
    _Question(
        "What does the latent space look like?",
        "latent",
        "Each image has a code. Near codes should mean similar images, and a path between two should show images, too.",
        "manifold latent_plane latent_map kl_per_dimension interpolation traversal walk attribute arithmetic",
    ),
    _Question("How did training go?", "training", "From the first step to the last.", "curves training plane"),
    # the last one takes the figures that no other question names
    _Question("What else was drawn?", "others", "Figures of another origin than the ones above.", ""),
]
_LISTED = [(number, name) for number, question in enumerate(QUESTIONS) for name in question.figures.split()]


def describe_figure(stem: str, corrupted: bool = False) -> Caption:
    """Returns the texts of a figure; `corrupted`: whether the model was trained on corrupted inputs."""
    if stem == "reconstructions" and corrupted:
        return _RESTORED
    name = stem.replace("_", " ")
    return CAPTIONS.get(stem, Caption(name, f"Figure: {name}", name))


def place_figure(stem: str) -> tuple[int, int, str]:
    """Returns the number of the question that a figure answers, its place among all figures, and its name.

    A figure whose name begins with a listed one and an underscore belongs to the same question.
    """
    listed = enumerate(_LISTED)
    fits = [(len(name), number, place) for place, (number, name) in listed if f"{stem}_".startswith(f"{name}_")]
    _, number, place = max(fits, default=(0, len(QUESTIONS) - 1, len(_LISTED)))
    return number, place, stem
