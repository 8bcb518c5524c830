"""DataParallel: one process on all GPUs of a host, timed by a job with as many ranks."""

from collections.abc import Callable

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.distributed.gpus import find_gpus
from horovod_ocr.distributed.world import World, explain_device
from horovod_ocr.errors import ClusterError, OcrError
from horovod_ocr.scaling.figures import WayFigures
from horovod_ocr.scaling.request import Request
from horovod_ocr.scaling.steps import Steps, time_steps
from horovod_ocr.scaling.subject import Subject
from horovod_ocr.scaling.ways import WAYS, LeftOut


def measure_data_parallel(
    world: World,
    build_subject: Callable[[World, int], Subject],
    request: Request,
    is_on_gpu: bool,
    reached: Callable[[str], None],
) -> WayFigures:
    """Root computes on as many GPUs as there are ranks, with the samples of all; the others wait. Collective.

    build_subject: of a world, with this number of samples a step. is_on_gpu: whether the ranks compute on GPUs.
    reached: called before each step. LeftOut, on all ranks, if it cannot.
    """
    ranks, gpus = world.world_size, find_gpus().numbers
    why = "" if len(gpus) >= ranks else f"needs {ranks} GPUs in one process, not {len(gpus)}"
    if not is_on_gpu:
        why = "needs GPUs, and the ranks compute on the CPU"
    if request.step_ms is not None:
        why = "a model that sleeps computes on no GPU"
    if why := world.broadcast(why):
        raise LeftOut(why)

    def on_root() -> WayFigures | None:
        if not world.is_root:
            return None
        alone = AloneWorld()
        subject = build_subject(alone, request.samples * ranks)
        try:
            steps = Steps(subject, DataParallelWorld(gpus[:ranks]), WAYS["data-parallel"], 1)
            step_s, measured = time_steps(steps, request.seconds, alone, reached)
        except Exception as error:
            if why := explain_device(error):  # the first GPU collects the scores of all
                raise ClusterError(why) from error
            raise
        return WayFigures(step_s, step_s, measured)

    try:
        figures: WayFigures = world.broadcast(world.collectively(on_root))
    except OcrError as error:
        raise LeftOut(str(error)) from error
    return figures
