"""hosts.txt: the hosts that train, and how many processes each may run. No other file parses a list of hosts.

# everything after # is a comment
node1
node2:4                                  # four processes, one per GPU; the same as slots=4
node3 slots=4 address=10.0.0.3 port=2222 # where ssh finds it, if its name is not enough
[fd00::4]:4                              # an IPv6 address
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from horovod_ocr.errors import ConfigError
from sharding.system.files import read_settings_text

KEYS = ("slots", "address", "port", "max_slots", "max-slots")  # max_slots is mpirun's; it is accepted and ignored
NAME = re.compile(r"\w[\w.-]*")  # as horovodrun accepts it; a name that began with - would be an option of ssh
FORM = "write: host slots=4, or host:4, or host"


@dataclass(frozen=True)
class Host:
    """One line of hosts.txt."""

    name: str
    """As written there."""
    slots: int = 1
    """The number of processes it may run."""
    address: str | None = None
    """The name or IP address that ssh connects to; None: `name`."""
    port: int | None = None
    """The port that ssh connects to; None: the one of ssh's own configuration."""

    @property
    def alias(self) -> str:
        """The name for horovodrun and ssh. horovodrun accepts no colon in a name: fd00::4 becomes ipv6-fd00--4."""
        return "ipv6-" + re.sub("[:%]", "-", self.name) if ":" in self.name else self.name


def read_hosts(path: Path) -> tuple[Host, ...]:
    """The hosts of a file, in its order. Raises ConfigError with file and line."""
    try:
        return parse_hosts(read_settings_text(path), str(path))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file; write it, a host a line (node1 slots=1), or name the hosts: "
            "-H node1:1,node2:1"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse_hosts(text: str, source: str) -> tuple[Host, ...]:
    """The hosts of a text, in its order, at least one. Raises ConfigError with source and line."""
    hosts: dict[str, Host] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.split("#", 1)[0].strip()
        if not entry:
            continue
        where = f"{source}, line {number}"
        host = parse_host(entry, where)
        if host.alias in hosts:
            raise ConfigError(f"{where}: {host.name} stands there a second time; give it one line with all its slots")
        hosts[host.alias] = host
    if not hosts:
        raise ConfigError(f"{source}: names no host; write one a line: host slots=4")
    return tuple(hosts.values())


def parse_host(entry: str, where: str) -> Host:
    """One host from a line without its comment. Raises ConfigError with a message that begins with `where`."""
    first, *settings = re.sub(r"\s*=\s*", "=", entry).split()
    if "@" in first:
        user, _, name = first.partition("@")
        raise ConfigError(
            f"{where}: {first!r} names a user, and horovodrun takes host names only; write {name!r} here, and in "
            f"~/.ssh/config: Host {name.split(':')[0]}, and below it: User {user}"
        )
    name, slots_of_name = split_name(first, where)
    values = {} if slots_of_name is None else {"slots": slots_of_name}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"{where}: {entry!r} is no host; {FORM}")
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "there are: slots, address, port"
            raise ConfigError(f"{where}: no setting {key!r}; {hint}")
        if key in values:
            raise ConfigError(f"{where}: {key} of {name} is given twice")
        values[key] = value
    slots = whole_number(values.get("slots", "1"), f"{where}: slots of {name}")
    if slots == 0:
        raise ConfigError(f"{where}: {name} has no slot; comment the line out to leave the host out")
    port = whole_number(values["port"], f"{where}: port of {name}") if "port" in values else None
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"{where}: port of {name} is 1 to 65535, not {port}")
    address = parse_address(values["address"], where) if "address" in values else None
    return Host(name, slots, address, port)


def split_name(text: str, where: str) -> tuple[str, str | None]:
    """Split `node1:4`, `[fd00::4]:4`, `node1` or `fd00::4` into name and slots; None if it gives no slots."""
    if bracketed := re.fullmatch(r"\[([^]]*)\](?::([0-9]+))?", text):
        return ipv6(bracketed[1], where), bracketed[2]
    if text.count(":") > 1:
        return ipv6(text, where), None
    name, colon, slots = text.partition(":")
    if not NAME.fullmatch(name) or (colon and not re.fullmatch("[0-9]+", slots)):
        raise ConfigError(f"{where}: {text!r} is no host; {FORM}")
    return name, slots or None


def parse_address(text: str, where: str) -> str:
    """The address of a host: a name, an IPv4 address, or an IPv6 address with or without brackets."""
    if ":" in text:
        return ipv6(text.removeprefix("[").removesuffix("]"), where)
    if not NAME.fullmatch(text):
        raise ConfigError(f"{where}: {text!r} is not an address; write: address=10.0.0.3")
    return text


def ipv6(text: str, where: str) -> str:
    """An IPv6 address in its short spelling, so that two spellings of one host are recognised as the same."""
    address, percent, interface = text.partition("%")
    try:
        if percent and not NAME.fullmatch(interface):
            raise ValueError(interface)
        return str(IPv6Address(address)) + percent + interface
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} is not an IPv6 address; with slots it reads: [fd00::4]:4") from error


def whole_number(text: str, what: str) -> int:
    """Raises ConfigError with a message that begins with `what`."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ConfigError(f"{what} is a whole number, not {text!r}")
    return int(text)


def ranks_of(hosts: Iterable[Host]) -> int:
    """The number of ranks on all slots of these hosts."""
    return sum(host.slots for host in hosts)


def spell_hosts(hosts: Iterable[Host]) -> str:
    """As horovodrun -H expects them: node1:4,node2:1."""
    return ",".join(f"{host.alias}:{host.slots}" for host in hosts)
