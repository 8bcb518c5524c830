"""One horovodrun of a supervised run. Its output is passed on, and tells why it ended."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

from horovod_ocr.console import SENTENCE, STALLED, STOPPED_BY_ANOTHER
from horovod_ocr.errors import ConfigError, DivergedError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import kill_session

# horovodrun's prefix of a rank's line, and its own line about a rank that ended
RANK_LINE = re.compile(r"\[(\d+)\]<(stdout|stderr)>:(.*)", re.DOTALL)
RANK_ENDED = re.compile(r"Process (\d+) exit with status code (\d+)\.")
CONNECTION_LOST = re.compile(r"Timeout, server \S+ not responding|Connection (to|closed|reset)|[Bb]roken pipe|ssh: ")
OUR_CODES = range(ConfigError.exit_code, DivergedError.exit_code + 1)
SSH_FAILED = 255  # also if the command that ssh ran was killed by a signal
READ_S = 2.0  # time to read the last lines of a job of which nothing is left


class JobOutput:
    """What the lines of a job tell about why it ended. Two threads add lines."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.host_of_rank = [host.name for host in hosts for _ in range(host.slots)]
        self.stalled: str | None = None  # message of the first watchdog
        self.ended: list[tuple[int, int]] = []  # ranks and their exit codes, in the order of their ends
        self.launcher_line: str | None = None  # the last line of horovodrun itself
        self.lost_connection: str | None = None  # the first line of an ssh client that lost its host
        self.last_line: dict[int, str] = {}  # by rank
        self.messages: dict[int, str] = {}  # by rank; of an error that all ranks share root alone writes one

    @property
    def tells_of_an_end(self) -> bool:
        """Has any rank ended, or said that it will?"""
        return bool(self.stalled or self.ended)

    @property
    def ended_by_themselves(self) -> list[tuple[int, int]]:
        """The part of `ended` that did not end because of another rank."""
        return [(rank, code) for rank, code in self.ended if STOPPED_BY_ANOTHER not in self.messages.get(rank, "")]

    @property
    def cause(self) -> tuple[int, int]:
        """The first rank that ended by itself, and its exit code.

        Ranks that miss a rank on another host may end first: the news of that one's end takes longer.
        """
        return (self.ended_by_themselves or self.ended)[0]

    def exit_code(self, code: int) -> int:
        """The one that tells what happened. code: of horovodrun, which may be that of a rank that missed another."""
        cause = self.cause[1] if self.ended_by_themselves else code
        return cause if cause in OUR_CODES else code

    @property
    def suspect(self) -> str | None:
        """The host of the first rank that ended by itself, if any. A rank that stalls only waited for another."""
        if self.stalled or not self.ended_by_themselves:
            return None
        rank, _ = self.ended_by_themselves[0]
        return self.host_of(rank)

    def host_of(self, rank: int) -> str:
        return self.host_of_rank[rank] if rank < len(self.host_of_rank) else "?"

    def add(self, line: str) -> None:
        """Take note of one line of horovodrun."""
        line = line.strip()
        if found := RANK_LINE.match(line):
            rank, stream, text = int(found[1]), found[2], found[3].strip()
            if text.startswith(STALLED):
                self.stalled = self.stalled or text
            if stream == "stderr" and CONNECTION_LOST.match(text):  # written by the ssh client of that rank
                self.lost_connection = self.lost_connection or text
            elif stream == "stderr" and text:
                self.last_line[rank] = text.removeprefix(SENTENCE)
                if text.startswith(SENTENCE):
                    self.messages[rank] = self.last_line[rank]
        elif found := RANK_ENDED.match(line):
            self.ended.append((int(found[1]), int(found[2])))
        elif line.startswith("horovodrun: "):
            self.launcher_line = line

    def reason(self, code: int) -> str:
        """Why the job ended. code: of horovodrun."""
        if self.stalled:
            return self.stalled
        if not self.ended:
            silent = "no rank said why" if code else "but the run has not said that it is finished"
            return self.launcher_line or f"horovodrun ended with exit code {code}, {silent}"
        rank, code = self.cause
        return self.reason_of_rank(rank, code)

    def reason_of_rank(self, rank: int, code: int) -> str:
        who = f"rank {rank} on {self.host_of(rank)}"
        if code == SSH_FAILED:
            lost = "the connection to it is lost"
            return f"{who}: {lost} ({self.lost_connection})" if self.lost_connection else f"{who}: killed, or {lost}"
        last = self.last_line.get(rank)
        if 128 < code < 128 + signal.NSIG:
            # a library that aborts says why; other signals come from outside
            why = f": {last}" if code - 128 == signal.SIGABRT and last else ""
            return f"{who} was killed ({name_of_signal(code - 128)}){why}"
        if code in OUR_CODES and self.messages:
            last = self.messages.get(rank) or next(iter(self.messages.values()))
        return f"{who} ended with exit code {code}: {last or 'it said nothing'}"


class Job:
    """A running horovodrun, in a session of its own: Ctrl-C in our terminal does not reach it."""

    def __init__(self, command: list[str], environment: dict[str, str], hosts: Sequence[Host]) -> None:
        self.output = JobOutput(hosts)
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
            self.output.add(line)
            write_line(line, target)
        source.close()

    def poll(self) -> int | None:
        """The exit code of horovodrun, None while it runs. Negative: it was ended by that signal."""
        return self.process.poll()

    def end(self) -> int:
        """Kill horovodrun's session if it still runs; the exit code. Ranks on other hosts need `kill_leftovers`."""
        if self.process.poll() is None:
            kill_session(self.process)
        return self.process.wait()

    def read_rest(self) -> JobOutput:
        """Its last lines too. After `kill_leftovers`: an orphan of the job holds the pipes open until it is killed."""
        for relay in self.relays:
            relay.join(READ_S)
        return self.output


def write_line(line: str, target: IO[str]) -> None:
    """Write to a terminal that may be closed: that must not end a training."""
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
