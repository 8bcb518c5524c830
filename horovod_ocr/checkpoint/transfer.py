"""A new run begins with the weights of another one, or of a state dict such as torchvision's."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from horovod_ocr.checkpoint.file import is_checkpoint, load_best_of, read_saved
from horovod_ocr.checkpoint.imagenet import fold_normalisation, is_imagenet
from horovod_ocr.checkpoint.schema import check_payload, is_state_dict
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.build import task_from_dict
from sharding.wording import some_names

MOST_NAMED = 5  # outputs or differences in a sentence
WRAPPER = "module."
COUNTER = "num_batches_tracked"  # of BatchNorm: nothing depends on it, and state dicts of old versions of torch lack it


class Trained(NamedTuple):
    """What a file holds."""

    path: str
    """Of the file."""
    weights: dict[str, Tensor]
    """By name."""
    task: Task | None
    """What the outputs stand for; None: a state dict does not say."""
    advice: str
    """Which model the weights fit, as the end of a sentence."""


def transfer(path: Path, model: ImageModel, task: Task) -> str:
    """Put trained weights into a new model, by name. path: a checkpoint, a run's folder (its best one), a state dict.

    Outputs of the head that the file does not know keep their random weights. A first convolution for RGB becomes one
    for grey images; in torchvision's ImageNet weights it becomes one for images as they are normalised here. Returns a
    line that says so.

    Raises CheckpointError for a file of anything else or of another task, and for weights that do not fit.
    """
    trained = read_trained(path)
    if trained.task and trained.task.kind != task.kind:
        raise CheckpointError(
            f"{trained.path} was trained on {trained.task.kind}, and this run is on {task.kind}; give a checkpoint of "
            f"{task.kind}"
        )
    is_foreign = trained.task is None and is_imagenet(trained.weights)  # a checkpoint has seen our images
    remarks = [fold_normalisation(trained.weights)] if is_foreign else []
    if trained.task is None and not is_foreign:
        remarks.append("taken to be trained on images as they are normalised here, black 0.5 and white -0.5")
    remarks += sum_channels(trained.weights, model)  # after it: each channel has a deviation of its own
    check_fits(trained, model)
    head, remark = fit_head(trained, model, task)
    model.load_state_dict(model.state_dict() | trained.weights | head)
    return "; ".join([f"begins with the weights of {trained.path}", remark, *remarks])


def read_trained(path: Path) -> Trained:
    """CheckpointError if it holds no weights, UnreadableError if it cannot be read now, or by this version."""
    if path.is_dir():
        return trained_of(load_best_of(path))
    content = read_saved(path)
    if is_state_dict(content) and content:
        advice = "give the model, the model_options and the pixels that it is of"
        return Trained(str(path), without_wrapper(content), None, advice)
    if not is_checkpoint(content):
        raise CheckpointError(
            f"{path}: neither a checkpoint of horovod-ocr nor a state dict; save one with "
            "torch.save(model.state_dict(), FILE)"
        )
    check_payload(path, content)
    return trained_of({**content, "path": str(path)})


def without_wrapper(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names that they have in the model itself: DataParallel and DistributedDataParallel of torch put `module.`
    before all of them."""
    if all(name.startswith(WRAPPER) for name in weights):
        return {name.removeprefix(WRAPPER): weight for name, weight in weights.items()}
    return dict(weights)


def trained_of(payload: dict[str, Any]) -> Trained:
    """Of a checkpoint."""
    geometry = Geometry.from_dict(payload["geometry"])
    settings = {
        "model": payload["model_name"],
        "height": geometry.height,
        **({"pixels": "grey" if geometry.channels == 1 else "rgb"} if geometry.is_photo else {}),  # words are grey
        **{f"model_options.{name}": value for name, value in payload["model_options"].items()},
    }
    advice = f"it was trained with {' '.join(f'{name}={value}' for name, value in settings.items())}"
    return Trained(payload["path"], payload["model"], task_from_dict(payload["task"]), advice)


def sum_channels(weights: dict[str, Tensor], model: ImageModel) -> list[str]:
    """Make a first convolution for RGB one for grey images (R = G = B), if the model's is. Then returns a sentence."""
    convolutions = {name: each for name, each in model.named_modules() if isinstance(each, nn.Conv2d)}
    first, convolution = next(iter(convolutions.items()))
    weight = weights.get(f"{first}.weight")
    if convolution.in_channels != 1 or weight is None or weight.shape[1:2] != (3,):
        return []
    weights[f"{first}.weight"] = weight.sum(1, keepdim=True)
    return [f"{first}: its 3 channels are summed for grey images"]


def check_fits(trained: Trained, model: ImageModel) -> None:
    """CheckpointError unless names and shapes are those of the model, whatever the number of outputs."""
    here, there = shapes_of(model.state_dict(), model), shapes_of(trained.weights, model)
    differences = [f"{name} is missing" for name in here if name not in there and not name.endswith(COUNTER)]
    differences += [f"{name} is unknown" for name in there if name not in here]
    both = [name for name in here if name in there]
    differences += [f"{name} is {there[name]}, not {here[name]}" for name in both if there[name] != here[name]]
    if differences:
        raise CheckpointError(
            f"{trained.path} does not fit the model: {some_names(differences, MOST_NAMED)}; {trained.advice}"
        )


def shapes_of(weights: dict[str, Tensor], model: ImageModel) -> dict[str, str]:
    """As `64 x 3 x 7 x 7`, and `outputs x 512` for the head of the model."""
    sizes: dict[str, list[object]] = {name: list(weight.shape) for name, weight in weights.items()}
    for name in head_names(model):
        if sizes.get(name):
            sizes[name][0] = "outputs"
    return {name: " x ".join(map(str, each)) or "a number" for name, each in sizes.items()}


def fit_head(trained: Trained, model: ImageModel, task: Task) -> tuple[dict[str, Tensor], str]:
    """The weights of the head, and a sentence on them: of the file for outputs that it knows, else the model's own."""
    own = {name: weight.clone() for name, weight in model.state_dict().items() if name in head_names(model)}
    there = {name: trained.weights[name] for name in own}
    outputs = trained.task.outputs if trained.task else max(map(len, there.values()))
    if any(len(weight) != outputs for weight in there.values()):
        raise CheckpointError(f"{trained.path}: damaged: not all weights of its head have a row for each output")
    if trained.task is None:
        if outputs == task.outputs:
            return there, f"head: {outputs:,} outputs there and here, taken to be the same"
        return own, f"head: {outputs:,} outputs there, {task.outputs:,} here: it starts with random weights"
    names, row_there = task.output_names(), {name: row for row, name in enumerate(trained.task.output_names())}
    known = [(row, row_there[name]) for row, name in enumerate(names) if name in row_there]
    fresh = [name for name in names if name not in row_there]
    for name, weight in own.items():
        for row, theirs in known:
            weight[row] = there[name][theirs]
    remark = f"head: {len(known):,} of {len(names):,} outputs keep their weights"
    return own, f"{remark}; these start with random ones: {some_names(fresh, MOST_NAMED)}" if fresh else remark


def head_names(model: ImageModel) -> list[str]:
    return [f"{model.head_name}.weight", f"{model.head_name}.bias"]
