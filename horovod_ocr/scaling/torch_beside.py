"""torch.distributed beside Horovod, for the same ranks of one job."""

import os
import socket

from horovod_ocr.distributed.launcher import Meeting
from horovod_ocr.distributed.torch_engine import init_torch
from horovod_ocr.distributed.world import World


def meet_in_torch(world: World) -> World:
    """The ranks of a world as torch knows them. Collective. The same OcrError on all ranks if they do not meet."""
    found = world.collectively(lambda: (own_address(), free_port()) if world.is_root else None)
    meeting = Meeting(world.rank, world.world_size, *world.broadcast(found))
    joined: World = world.collectively(lambda: init_torch(meeting))
    return joined


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


def own_address() -> str:
    """Of this host, in the network in which horovodrun waits for the ranks."""
    meeting = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    family = socket.AF_INET6 if ":" in meeting else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as towards:
        towards.connect((meeting, 9))  # sends nothing; only chooses the interface
        return str(towards.getsockname()[0])
