"""What happens around the steps of a run, one file each. training/hook_list.py lists them in their order."""

from horovod_ocr.training.hooks.agenda import Agenda, Periods, SaveClock
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.check_ranks import CheckRanks
from horovod_ocr.training.hooks.damage import CountDamage
from horovod_ocr.training.hooks.log import Log
from horovod_ocr.training.hooks.profile import Profile
from horovod_ocr.training.hooks.save import Save
from horovod_ocr.training.hooks.skipped import SkippedUpdates
from horovod_ocr.training.hooks.validate import Validate

__all__ = [
    "Agenda",
    "CheckRanks",
    "CountDamage",
    "Hook",
    "Log",
    "Periods",
    "Profile",
    "Save",
    "SaveClock",
    "SkippedUpdates",
    "Step",
    "Validate",
]
