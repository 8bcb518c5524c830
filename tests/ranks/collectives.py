"""What one rank runs to try every collective of its world, and what all ranks must find."""

import json
import math
from pathlib import Path

import torch

from horovod_ocr.distributed.open import open_world

TYPES = (torch.float32, torch.float64, torch.float16, torch.int64)
COUNTS = ((0, 2, 3), (4, 0, 5), (1, 7, 0))  # [from][to]


def try_all(out: Path) -> None:
    """Write what this rank finds to `out`: name -> values; `sent` and `received` of each tensor collective."""
    world, found = open_world(), {}
    rank, size = world.rank, world.world_size
    for kind in TYPES:
        mine = torch.full((3,), rank + 1, dtype=kind)
        found[f"sum {kind}"] = world.sum(mine).tolist()
        found[f"kept {kind}"] = mine.tolist()
        wait = world.begin_sum(mine)
        found[f"begin_sum {kind}"] = wait().tolist()
        found[f"all_gather {kind}"] = world.all_gather(mine).tolist()
        copied, many = mine.clone(), {"a": mine.clone(), "b": torch.tensor(rank + 5)}
        world.broadcast_tensor(copied)
        world.broadcast_tensors(many)
        found[f"broadcast_tensor {kind}"] = copied.tolist()
        found[f"broadcast_tensors {kind}"] = [*many["a"].tolist(), many["b"].item()]
        for again in range(2):  # other sizes under the same names would be a mistake to Horovod
            counts, received = COUNTS[rank][:size], [row[rank] for row in COUNTS[:size]]
            flat = torch.cat([torch.full((n,), 10 * rank + to) for to, n in enumerate(counts)]).to(kind)
            found[f"all_to_all {kind} {again}"] = world.all_to_all(flat, counts, received).tolist()
    found["broadcast"] = world.broadcast({"root": rank})
    found["gather"] = world.gather([rank] * rank)
    found["local_size"] = world.local_size
    nothing = world.all_to_all(torch.ones(0), [0] * size, [0] * size)
    found["nothing"] = nothing.tolist()
    found["traffic"] = {}
    values, counts, received = torch.ones(12), [4] * size, [4] * size
    for name, call in {
        "sum": lambda: world.sum(values),
        "begin_sum": lambda: world.begin_sum(values)(),
        "all_gather": lambda: world.all_gather(values),
        "all_to_all": lambda: world.all_to_all(values[: 4 * size], counts, received),
        "broadcast_tensor": lambda: world.broadcast_tensor(values),
        "broadcast_tensors": lambda: world.broadcast_tensors({"a": values}),
    }.items():
        sent, came = world.traffic.sent, world.traffic.received
        call()
        found["traffic"][name] = [world.traffic.sent - sent, world.traffic.received - came]
    (out / f"rank{rank}.json").write_text(json.dumps(found))


def expected(rank: int, size: int) -> dict:
    """What this rank must find."""
    found: dict = {}
    total, ranks = size * (size + 1) / 2, range(size)
    for kind in TYPES:
        found[f"sum {kind}"] = found[f"begin_sum {kind}"] = [total] * 3
        found[f"kept {kind}"] = [rank + 1] * 3
        found[f"all_gather {kind}"] = [of + 1 for of in ranks for _ in range(3)]
        found[f"broadcast_tensor {kind}"] = [1] * 3
        found[f"broadcast_tensors {kind}"] = [1, 1, 1, 5]
        parts = [10 * of + rank for of in ranks for _ in range(COUNTS[of][rank])]
        found |= {f"all_to_all {kind} {again}": parts for again in range(2)}
    found |= {"broadcast": {"root": 0}, "gather": [[of] * of for of in ranks], "local_size": size, "nothing": []}
    bytes_of_12 = 48
    ring, rest = 2 * (size - 1) / size * bytes_of_12, (size - 1) * bytes_of_12
    tree = [math.ceil(math.log2(size)) * bytes_of_12 if rank == 0 else 0, 0 if rank == 0 else bytes_of_12]
    found["traffic"] = {
        "sum": [ring, ring],
        "begin_sum": [ring, ring],
        "all_gather": [rest, rest],
        "all_to_all": [16 * (size - 1)] * 2,
        "broadcast_tensor": tree,
        "broadcast_tensors": tree,
    }
    return found
