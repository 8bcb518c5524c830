"""What is read beside an image, and by how many at once, changes nothing in its answer."""

import asyncio
import json
import random

import httpx

from tests.unit.serve.pictures import PNG, request, word

CONNECTIONS = 64


def test_alone_and_among_others_the_same(run_server, package):
    server = run_server(package, threads=2)
    draw = random.Random(3)
    images = [word(seed, draw.choice((20, 33, 47, 60, 90, 140, 300))) for seed in range(128)]
    alone = [server.client.post("/v1/read", content=image, headers=PNG).json() for image in images]
    before = batches_of(server)

    async def send_all(number: int) -> list[tuple[int, dict]]:
        order = list(range(len(images)))
        random.Random(number).shuffle(order)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        answers = []
        for place in order[:8]:
            writer.write(request(images[place]))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            answers.append((place, json.loads(await reader.readexactly(length))))
        writer.close()
        return answers

    async def main() -> list[tuple[int, dict]]:
        return sum(await asyncio.gather(*map(send_all, range(CONNECTIONS))), [])

    answers = asyncio.run(main())
    assert len(answers) == 8 * CONNECTIONS
    for place, answer in answers:
        assert answer["text"] == alone[place]["text"]
        assert abs(answer["confidence"] - alone[place]["confidence"]) <= 1e-5
        assert [letter["box"] for letter in answer["letters"]] == [letter["box"] for letter in alone[place]["letters"]]
    runs, read = (after - was for after, was in zip(batches_of(server), before, strict=True))
    assert read == 8 * CONNECTIONS and runs < read  # some were read together


def batches_of(server) -> tuple[float, float]:
    """Runs of the model, and images read."""
    text = httpx.get(f"{server.url}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return float(values["horovod_ocr_batch_images_count"]), float(values["horovod_ocr_images_read_total"])
