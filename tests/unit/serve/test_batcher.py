"""The threads between requests and the model, with work that a test controls."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from horovod_ocr.recognizer.images import ReadyImage
from horovod_ocr.serve.batcher import Batcher, Job, Wants
from horovod_ocr.serve.failures import ApiError, QueueFullError
from horovod_ocr.serve.settings import ServeSettings

PATIENCE_S = 30


class Work:
    """An image is b"name width"; its answer is its name. Runs wait until they are permitted."""

    def __init__(self, permitted: bool = True) -> None:
        self.runs: list[list[str]] = []
        self.permitted = threading.Event()
        self.begun = threading.Event()
        if permitted:
            self.permitted.set()

    def prepare(self, content: bytes) -> ReadyImage:
        name, _, width = content.partition(b" ")
        if name == b"broken":
            raise ApiError(422, "damaged_image", "damaged")
        return ReadyImage(np.zeros((1, int(width), 1), np.uint8), int(width), (int(width), 1))

    def is_large(self, content: bytes) -> bool:
        return content.startswith(b"large")

    def read(self, jobs: Sequence[Job]) -> list[bytes]:
        self.begun.set()
        assert self.permitted.wait(PATIENCE_S)
        names = [str(job.image.pixels_HWC.shape[1]) for job in jobs]
        self.runs.append(names)
        if any(job.image.pixels_HWC.shape[1] == 13 and job.wants.alternatives == 13 for job in jobs):
            raise RuntimeError("the model fails for one of them")
        return [f"{name} {job.wants.alternatives}".encode() for name, job in zip(names, jobs, strict=True)]


def run(test: Callable[[Work, Batcher, list[int]], object], permitted: bool = True, **settings) -> None:
    """With a batcher that is closed at the end, and what it counts."""

    async def main() -> None:
        work, counted = Work(permitted), []
        batcher = Batcher(work, ServeSettings(**{"threads": 1, **settings}), counted.append)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await test(work, batcher, counted)
        finally:
            work.permitted.set()
            await batcher.close()
        assert batcher.waiting == 0

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_answers_go_to_their_images():
    async def test(work, batcher, counted):
        answers = [batcher.submit(b"x %d" % (8 * (n % 3) + 8), Wants(alternatives=n)) for n in range(30)]
        assert await asyncio.gather(*answers) == [b"%d %d" % (8 * (n % 3) + 8, n) for n in range(30)]
        assert sum(counted) == 30 and max(counted) > 1

    run(test, threads=3)


def test_one_alone_is_read_at_once():
    async def test(work, batcher, counted):
        assert await batcher.submit(b"x 8") == b"8 0"
        assert counted == [1]

    run(test)


def test_waits_for_others_of_its_width_if_asked_to():
    async def test(work, batcher, counted):
        first = batcher.submit(b"x 8")
        await asyncio.sleep(0.05)
        assert not first.done()
        second = batcher.submit(b"x 8")  # fills the run
        assert await first == await second == b"8 0" and counted == [2]

    run(test, max_wait_ms=PATIENCE_S * 1000, max_batch=2)


def test_a_run_takes_at_most_max_batch_of_one_width():
    async def test(work, batcher, counted):
        held = batcher.submit(b"x 8")
        await until(work.begun.is_set)
        answers = [batcher.submit(b"x %d" % width) for width in [16] * 5 + [24] * 2]
        work.permitted.set()
        await asyncio.gather(held, *answers)
        assert [len(set(names)) for names in work.runs] == [1] * len(work.runs)
        assert sorted(counted) == sorted([1, 3, 2, 2])

    run(test, permitted=False, max_batch=3)


def test_a_full_queue_refuses_and_a_batch_waits_for_room():
    async def test(work, batcher, counted):
        answers = [batcher.submit(b"x 8") for _ in range(3)]
        with pytest.raises(QueueFullError):
            batcher.submit(b"x 8")
        waiting = [asyncio.ensure_future(batcher.submit_when_free(b"x 16", Wants())) for _ in range(4)]
        await asyncio.sleep(0.02)
        assert not any(each.done() for each in waiting)
        work.permitted.set()
        await asyncio.gather(*answers)
        assert [await await_it for await_it in await asyncio.gather(*waiting)] == [b"16 0"] * 4

    run(test, permitted=False, queue=3)


@pytest.mark.parametrize("leaves", ["while it waits", "when it has its place"])
def test_a_client_that_leaves_the_line_does_not_keep_its_place(leaves):
    async def test(work, batcher, counted):
        held = batcher.submit(b"x 8")
        gone, *kept = (asyncio.ensure_future(batcher.submit_when_free(b"x 16", Wants())) for _ in range(4))
        await asyncio.sleep(0.02)
        if leaves == "while it waits":
            gone.cancel()
        else:
            held.add_done_callback(lambda _: gone.cancel())  # in the turn of the loop in which the place is given
        work.permitted.set()
        assert [await each for each in await asyncio.gather(*kept)] == [b"16 0"] * 3
        assert gone.cancelled() and sum(counted) == 4

    run(test, permitted=False, queue=1)


def test_places_go_to_those_who_came_first():
    async def test(work, batcher, counted):
        held = batcher.submit(b"x 8")
        order: list[int] = []
        refused: list[bool] = []

        def push_in(_: object) -> None:
            """A request that comes when there is room, before the one that waits for it has run."""
            try:
                batcher.submit(b"x 64")
                refused.append(False)
            except QueueFullError:
                refused.append(True)

        async def wait_for_turn(number: int) -> None:
            answer = await batcher.submit_when_free(b"x 16", Wants())
            order.append(number)
            answer.add_done_callback(push_in)
            await answer

        held.add_done_callback(push_in)
        waiting = [asyncio.ensure_future(wait_for_turn(number)) for number in range(5)]
        await asyncio.sleep(0.02)
        work.permitted.set()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4] and refused == [True] * 5 + [False]

    run(test, permitted=False, queue=1)


def test_a_client_that_went_away_is_not_read_for():
    async def test(work, batcher, counted):
        held = batcher.submit(b"x 8")
        await until(work.begun.is_set)
        gone, kept = batcher.submit(b"x 16"), batcher.submit(b"x 24")
        gone.cancel()
        work.permitted.set()
        await asyncio.gather(held, kept)
        await until(lambda: batcher.waiting == 0)
        assert work.runs == [["8"], ["24"]]

    run(test, permitted=False)


def test_an_error_reaches_its_own_image_alone():
    async def test(work, batcher, counted):
        held = batcher.submit(b"x 8")
        await until(work.begun.is_set)
        asked = [b"x 13", b"broken", b"x 13", b"x 13"]
        answers = [batcher.submit(each, Wants(alternatives=13 * (n == 2))) for n, each in enumerate(asked)]
        work.permitted.set()
        found = await asyncio.gather(held, *answers, return_exceptions=True)
        assert found[0] == b"8 0" and found[1] == found[4] == b"13 0"
        assert isinstance(found[2], ApiError) and isinstance(found[3], RuntimeError)

    run(test, permitted=False)


def test_a_large_image_does_not_hold_small_ones_up():
    async def test(work, batcher, counted):
        decoding = threading.Event()
        prepare = work.prepare

        def slowly(content: bytes) -> ReadyImage:
            if content.startswith(b"large"):
                assert decoding.wait(PATIENCE_S)
            return prepare(content)

        work.prepare = slowly
        large = batcher.submit(b"large 800")
        assert await batcher.submit(b"x 8") == b"8 0" and not large.done()
        decoding.set()
        assert await large == b"800 0"

    run(test)


def test_closing_answers_what_was_accepted():
    async def main() -> list[bytes]:
        work = Work()
        batcher = Batcher(work, ServeSettings(threads=2, max_wait_ms=1000), lambda images: None)
        answers = [batcher.submit(b"%s %d" % (b"large" if n % 5 == 0 else b"x", 8 + 8 * (n % 4))) for n in range(40)]
        await batcher.close()
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.gather(*answers)

    assert asyncio.run(main()) == [b"%d 0" % (8 + 8 * (n % 4)) for n in range(40)]


def test_tells_how_long_what_waits_takes():
    async def test(work, batcher, counted):
        assert batcher.waiting_s == 0
        await batcher.submit(b"x 8")
        work.permitted.clear()
        for _ in range(10):
            batcher.submit(b"x 8")
        assert batcher.waiting_s > 0
        work.permitted.set()
        await until(lambda: batcher.waiting == 0)

    run(test)
