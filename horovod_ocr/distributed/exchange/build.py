"""The exchange that a configuration names."""

from torch import nn

from horovod_ocr.config.train import ExchangeConfig
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.distributed.exchange.allreduce import Allreduce
from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer
from horovod_ocr.distributed.exchange.diloco import DiLoCo
from horovod_ocr.distributed.exchange.parameter_server import ParameterServer
from horovod_ocr.distributed.exchange.powersgd import PowerSGD
from horovod_ocr.distributed.exchange.sharded_server import ShardedServer
from horovod_ocr.distributed.exchange.weight_average import WeightAverage
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ConfigError


def build_exchange(
    config: ExchangeConfig,
    world: World,
    model: nn.Module,
    groups: Groups,
    make: MakeOptimizer,
    total_steps: int,
    passes: int = 1,
) -> Exchange:
    """As in `Exchange`. config: one that `check_config` has passed. total_steps: of the run. passes: backward passes
    before each update.

    Raises ConfigError for an exchange that the world does not have.
    """
    name, fp16 = config.exchange, config.compression == "fp16"
    if name != "allreduce" and isinstance(world, DataParallelWorld):
        raise ConfigError(f"--engine data-parallel is one rank, which has no other to exchange with by {name}")
    if name == "allreduce":
        return Allreduce(world, model, groups, make, fp16, passes)
    if name == "parameter-server":
        return ParameterServer(world, model, groups, make)
    if name == "sharded-server":
        return ShardedServer(world, model, groups, make)
    if name == "powersgd":
        return PowerSGD(world, model, groups, make, config.powersgd_rank)
    kind = WeightAverage if name == "weight-average" else DiLoCo
    return kind(world, model, groups, make, config.local_steps, total_steps)
