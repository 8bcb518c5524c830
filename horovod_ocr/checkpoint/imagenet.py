"""torchvision's ImageNet weights, for images as `data.batch.normalise_images` gives them."""

from torch import Tensor

# of torchvision: the images that its weights expect have this mean and deviation taken off, channel by channel
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEM, NORM, HEAD = "conv1", "bn1", "fc"  # its names
STEM_SHAPE, OUTPUTS = (64, 3, 7, 7), 1000


def is_imagenet(weights: dict[str, Tensor]) -> bool:
    """Whether a state dict is of a residual network of torchvision for ImageNet, by names and shapes."""
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    return (
        shapes.get(f"{STEM}.weight") == STEM_SHAPE
        and shapes.get(f"{NORM}.running_mean") == STEM_SHAPE[:1]
        and shapes.get(f"{HEAD}.weight", ())[:1] == (OUTPUTS,)
    )


def fold_normalisation(weights: dict[str, Tensor]) -> str:
    """Fold the normalisation of ImageNet into the weights, in place; returns a sentence that says so.

    The weights were learnt on x = (p - mean) / deviation, with p from 0, black, to 1, white. Models here see
    y = 0.5 - p: to such weights, negatives. Since p = 0.5 - y, a convolution of x is a convolution of y with the
    weights divided by -deviation, plus a constant, which is subtracted from the norm's running mean. Only the padding
    differs: y = 0 is p = 0.5, x = 0 is p = mean.
    """
    stem, mean_O = weights[f"{STEM}.weight"].detach(), weights[f"{NORM}.running_mean"].detach()
    stem_OCHW = stem.double()
    mean_C11, deviation_C11 = (stem_OCHW.new_tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    constant_O = (stem_OCHW * ((0.5 - mean_C11) / deviation_C11)).sum((1, 2, 3))
    weights[f"{STEM}.weight"] = (stem_OCHW / -deviation_C11).to(stem.dtype)
    weights[f"{NORM}.running_mean"] = (mean_O.double() - constant_O).to(mean_O.dtype)
    return f"{STEM}: ImageNet's normalisation is folded in"
