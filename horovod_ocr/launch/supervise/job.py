"""One attempt of a supervised run: one horovodrun, what it says relayed and understood."""

import re
import signal
import subprocess
import sys
import threading
from typing import IO

from horovod_ocr.errors import ConfigError, DivergedError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import kill_session

# what horovodrun puts before a rank's line, and its own words about the rank that ended first
RANK_LINE = re.compile(r"\[(\d+)\]<(stdout|stderr)>:(.*)", re.DOTALL)
RANK_ENDED = re.compile(r"Process (\d+) exit with status code (\d+)\.")
CONNECTION_LOST = re.compile(r"Timeout, server \S+ not responding|Connection (to|closed|reset)|[Bb]roken pipe|ssh: ")
OF_ANOTHER = "stopped because another rank ended"  # of World.guard
SENTENCE = "horovod-ocr: "  # before what a person can mend
OUR_CODES = range(ConfigError.exit_code, DivergedError.exit_code + 1)
SSH_FAILED = 255  # also when the command that ssh ran was killed by a signal
READ_S = 2.0  # for the last lines of a job that has ended


class Words:
    """What a job said that tells why it ended. Lines come from two threads."""

    def __init__(self, hosts: tuple[Host, ...]):
        self.host_of_rank = [host.name for host in hosts for _ in range(host.slots)]
        self.stalled = ""  # the first watchdog's sentence
        self.ended: list[tuple[int, int]] = []  # ranks and exit codes, as they came
        self.of_launcher = ""
        self.connection = ""
        self.last_of_rank: dict[int, str] = {}
        self.sentences: dict[int, str] = {}  # what a rank ended for; where all do, root alone says it

    @property
    def tell_of_an_end(self) -> bool:
        return bool(self.stalled or self.ended)

    @property
    def cause(self) -> tuple[int, int]:
        """The rank that ended first of itself, and its exit code: where one is killed far away, others that miss it may
        be gone before its own end is known here."""
        return (self.of_themselves or self.ended)[0]

    @property
    def of_themselves(self) -> list[tuple[int, int]]:
        """Of `ended` those that did not end because another did."""
        return [(rank, code) for rank, code in self.ended if OF_ANOTHER not in self.sentences.get(rank, "")]

    @property
    def suspect(self) -> str:
        """The host of the rank that ended first of itself; "" where none did. Who stalls only waited for another."""
        return self.host_of(self.of_themselves[0][0]) if self.of_themselves and not self.stalled else ""

    def host_of(self, rank: int) -> str:
        return self.host_of_rank[rank] if rank < len(self.host_of_rank) else "?"

    def note(self, line: str) -> None:
        line = line.strip()
        if found := RANK_LINE.match(line):
            rank, stream, text = int(found[1]), found[2], found[3].strip()
            if text.startswith("stalled: "):
                self.stalled = self.stalled or text
            if stream == "stderr" and CONNECTION_LOST.match(text):  # of the ssh client of that rank
                self.connection = self.connection or text
            elif stream == "stderr" and text:
                self.last_of_rank[rank] = text.removeprefix(SENTENCE)
                if text.startswith(SENTENCE):
                    self.sentences[rank] = self.last_of_rank[rank]
        elif found := RANK_ENDED.match(line):
            self.ended.append((int(found[1]), int(found[2])))
        elif line.startswith("horovodrun: "):
            self.of_launcher = line

    def reason(self, code: int) -> str:
        """Why a job ended with that exit code of horovodrun."""
        if self.stalled:
            return self.stalled
        if not self.ended:
            silent = "no rank said why" if code else "but the run has not said that it is finished"
            return self.of_launcher or f"horovodrun ended with exit code {code}, {silent}"
        rank, code = self.cause
        host = self.host_of(rank)
        if code == SSH_FAILED:
            lost = f"the connection to it is lost ({self.connection})"
            return f"rank {rank} on {host}: {lost if self.connection else 'killed, or the connection to it is lost'}"
        if 128 < code < 128 + signal.NSIG:
            last = self.last_of_rank.get(rank, "")
            # aborted by a library, which says why; other signals come from outside
            why = f": {last}" if code - 128 == signal.SIGABRT and last else ""
            return f"rank {rank} on {host} was killed ({name_of_signal(code - 128)}){why}"
        words = self.last_of_rank.get(rank, "it said nothing")
        if code in OUR_CODES:
            words = self.sentences.get(rank) or next(iter(self.sentences.values()), words)
        return f"rank {rank} on {host} ended with exit code {code}: {words}"


class Job:
    """A running horovodrun in a session of its own: what a terminal sends to us does not reach it."""

    def __init__(self, command: list[str], environment: dict[str, str], hosts: tuple[Host, ...]):
        self.words = Words(hosts)
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        )
        pairs = ((self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr))
        self.relays = [threading.Thread(target=self.relay, args=pair, daemon=True) for pair in pairs]
        for relay in self.relays:
            relay.start()

    def relay(self, source: IO[str], target: IO[str]) -> None:
        for line in source:
            self.words.note(line)
            write_line(line, target)
        source.close()

    def poll(self) -> int | None:
        """horovodrun's exit code, None while it runs; negative: ended by that signal."""
        return self.process.poll()

    def end(self) -> None:
        """Kill what runs of it in its session, if anything does. Ranks are ended by a sweep."""
        if self.process.poll() is None:
            kill_session(self.process)
        self.process.wait()
        for relay in self.relays:
            relay.join(READ_S)  # an orphan may hold the other end open until the sweep


def write_line(line: str, target: IO[str]) -> None:
    """A terminal that is gone does not end a training."""
    try:
        target.write(line)
        target.flush()
    except (OSError, ValueError):
        pass


def name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
