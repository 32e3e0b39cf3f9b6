"""What a reader of the report is told of each number and figure, in words for who has just learned what a VAE is."""

# Each row: quantity -> (its title, its unit, what it means to somebody who has just learned what a VAE is).
QUANTITIES = {
    "elbo": (
        "ELBO",
        "nats",
        "The evidence lower bound on log p(x), the score that the model is built around: minus the sum of the rate and "
        "the distortion below.",
    ),
    "log_likelihood": (
        "log p(x)",
        "nats",
        "A tighter estimate of how probable the model finds an unseen image, from many weighted draws of z. It lies "
        "above the ELBO; the gap is what the approximate posterior costs. Larger is better.",
    ),
    "rate": (
        "Rate",
        "nats",
        "KL(q(z|x) ‖ p(z)): how much the code z tells about its image. At 0 the code is ignored; 0 also "
        "stands where z is a point without a density, as a plain autoencoder's.",
    ),
    "distortion": (
        "Distortion",
        "nats",
        "−E[log p(x|z)]: what is still unexplained of the image once its code is known. Smaller means more faithful "
        "reconstructions.",
    ),
    "distortion_from_corrupted": (
        "Distortion, from corrupted inputs",
        "nats",
        "−E[log p(x|z)] of the clean image where the encoder was shown a corrupted one, as in training: how well the "
        "image is restored. Smaller is better; its distance from the distortion above is what the corruption costs.",
    ),
    "rate_from_corrupted": (
        "Rate, from corrupted inputs",
        "nats",
        "KL(q(z|corrupted x) ‖ p(z)): how much the code tells where the encoder was shown a corrupted image.",
    ),
    "elbo_from_corrupted": (
        "ELBO, from corrupted inputs",
        "nats",
        "Minus the sum of rate and distortion from corrupted inputs: what training maximises where the objective is "
        "the ELBO. It is a lower bound on log p(x) of the clean image, too, whatever the encoder was shown.",
    ),
    "bits_per_dim": (
        "Bits per dimension",
        "bits",
        "The negative bound in bits, divided by the number of pixel values, so that image sizes can be compared. "
        "Smaller is better.",
    ),
    "active_units": (
        "Active units",
        "",
        "Latent dimensions whose posterior mean moves when the image changes. The others are left at the prior and "
        "carry nothing.",
    ),
    "kl_per_dimension": (
        "KL per dimension",
        "nats",
        "The rate, told apart by latent dimension, in the order of the model.",
    ),
    "code_perplexity": (
        "Codes in use",
        "",
        "The perplexity of the codes chosen for these images: so many codes, used equally often, would be as hard to "
        "guess. Far below the codebook's size, most codes are dead.",
    ),
}

# Each row: a figure's file name without .png -> (its title, the text for who cannot see it, the caption).
FIGURES = {
    "reconstructions": (
        "What survives the code",
        "Rows of original images, each above the image that the decoder makes of its code.",
        "Above, an image; below it, what the decoder makes of the image's code. What is the same in both went through "
        "the code; what differs was lost. Blur is honest: the picture is the mean of p(x|z), an average of all the "
        "images that the model finds plausible for this code.",
    ),
    "samples": (
        "What the model imagines",
        "A grid of generated images.",
        "No image went in here: each z was drawn from the prior p(z) and decoded. The pictures are means of p(x|z), "
        "not draws from it. If they look worse than the reconstructions, then the prior has places that the encoder "
        "never uses, and the decoder has not learned what to make of them.",
    ),
    "manifold": (
        "The latent space, decoded",
        "A mosaic of decoded images that change gradually along both latent dimensions.",
        "Every point of a two-dimensional latent space is an image. The steps are equally probable under the prior, so "
        "each tile stands for an equal share of what the model imagines. Look for smooth changes between kinds, and "
        "for the regions in between, where images are ambiguous.",
    ),
    "interpolation": (
        "From one image to another",
        "Rows of decoded images that change gradually from one test image into another.",
        "At the ends of a row stand two images; between them, what the decoder makes of evenly spaced points between "
        "their codes. A good latent space passes through plausible images all the way; where it shows two images laid "
        "over one another, the walk crosses a hole that no image's code comes near.",
    ),
    "traversal": (
        "What each dimension says",
        "Rows of decoded images; in each row one latent dimension moves from low to high, the others are fixed.",
        "Each row moves one latent dimension and leaves the others in the middle; beside it stands its rate, what it "
        "says of an image. The dimensions that say most come first. A row that changes one thing alone (slant, width) "
        "is a dimension with a meaning of its own, which nothing in the bound asks for.",
    ),
    "latent_plane": (
        "Where the encoder puts the images",
        "A scatter plot of the posterior means of images in two dimensions, coloured by label.",
        "Each dot is one image at the mean of its q(z|x). The colours are the labels, added afterwards: unless the "
        "model is conditional, it never saw them, and groups that have formed were found from the pixels alone. Of a "
        "standard normal prior, the dashed circles hold 39% and 86%: dots far outside them are images that samples "
        "will hardly ever resemble.",
    ),
    "kl_per_dimension": (
        "Which dimensions carry information",
        "A bar chart of the KL divergence of each latent dimension, sorted, active and inactive ones told apart.",
        "The rate, split by latent dimension. A dimension near 0 is the same for every image; the decoder has learned "
        "to ignore it. This is called posterior collapse, and it is also how a VAE chooses its own size.",
    ),
    "curves": (
        "How training went",
        "Line charts of ELBO, rate and distortion against the training step.",
        "The ELBO rises while the model learns. A validation curve that turns down while training still rises shows "
        "overfitting. Rate and distortion are traded: spending nats on the code (rate up) must save more of them "
        "in the reconstruction (distortion down).",
    ),
    "training": (
        "The same codes as training goes on",
        "Rows of generated images, one row per moment of training, from the first to the last.",
        "Each column is one z that stays fixed while the decoder changes. Early rows show the average image; the kinds "
        "part later, and details come last.",
    ),
}

# In place of "reconstructions" where a model was trained on corrupted inputs.
RESTORED = (
    "What is restored",
    "Rows of original images, each above the same image corrupted, and below that what the decoder makes of its code.",
    "Above, an image; below it, the same image corrupted as in training, which is all that the encoder was shown; at "
    "the bottom, what the decoder makes of the code. What was destroyed and stands there again, the model knew from "
    "other images. Blur is honest: the picture is the mean of p(x|z), an average of all the images that the model "
    "finds plausible for this code.",
)
