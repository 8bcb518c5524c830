"""The time that a supervisor sees. Tests pass a clock of their own, which needs no waiting."""

import time


class Clock:
    """The clock of this machine."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
