"""One rank of everything that benchmarks/step.py --smoke measures, one after the other in one process.

Writes to out/rank<r>.json what one_step_run.py measures of "ours", "ddp" and "torch", and "rows" of step_saving_run.py.
"""

import json
import sys
from pathlib import Path

import torch


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch.distributed as dist
    from sides.one_step_run import RANKS, Job, measure, open_job
    from sides.step_saving_run import config_of, measure_rows, rows_of

    from horovod_ocr.distributed.torch_engine import TorchWorld

    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    with open_job("ours") as job:
        figures = {"ours": measure(task, job)}
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{task['port']}", rank=job.rank, world_size=RANKS)
        figures["ddp"] = measure(task, Job(job.rank, wait=dist.barrier, is_ddp=True))
        figures["torch"] = measure(task, Job(job.rank, TorchWorld(), wait=dist.barrier))
        dist.barrier()
        dist.destroy_process_group()
        figures["rows"] = rows_of(measure_rows(config_of(task), task["steps_a_row"], job.world))
        (Path(task["out"]) / f"rank{job.rank}.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
