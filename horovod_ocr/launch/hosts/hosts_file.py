"""hosts.txt: which hosts train, and how many processes each may run. Everything that asks about hosts asks here.

# from # on is a comment
node1
node2:4                                  # four processes, one a GPU; the same as slots=4
node3 slots=4 address=10.0.0.3 port=2222 # where ssh finds it, when its name alone does not say so
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

KEYS = ("slots", "address", "port", "max_slots", "max-slots")  # max_slots: mpirun's own, which nothing here uses
NAME = re.compile(r"\w[\w.-]*")  # what horovodrun takes; a name that began with - would be an option of ssh
FORM = "write: host slots=4, or host:4, or host"


@dataclass(frozen=True)
class Host:
    """name: as in hosts.txt. slots: processes it may run. address and port: where ssh finds it; "" and 0: by its name,
    as ssh's own configuration says."""

    name: str
    slots: int = 1
    address: str = ""
    port: int = 0

    @property
    def alias(self) -> str:
        """The name for horovodrun and ssh: horovodrun takes no colon in a name, so fd00::4 is ipv6-fd00--4 to it."""
        return "ipv6-" + re.sub("[:%]", "-", self.name) if ":" in self.name else self.name


def read_hosts(path: Path) -> tuple[Host, ...]:
    """The hosts of a file, in its order. ConfigError names file and line."""
    try:
        return parse_hosts(read_settings_text(path), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse_hosts(text: str, source: str) -> tuple[Host, ...]:
    """The hosts of a text, in its order, at least one. ConfigError names source and line."""
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
    """One host from a line without its comment. ConfigError begins with `where`."""
    first, *settings = re.sub(r"\s*=\s*", "=", entry).split()
    if "@" in first:
        user, _, name = first.partition("@")
        raise ConfigError(
            f"{where}: {first!r} names a user, and horovodrun takes host names only; write {name!r} here, and in "
            f"~/.ssh/config: Host {name.split(':')[0]}, and below it: User {user}"
        )
    name, short_slots = split_name(first, where)
    values: dict[str, str] = {"slots": short_slots} if short_slots else {}
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
    port = whole_number(values.get("port", "0"), f"{where}: port of {name}")
    if port > 65535 or (port == 0 and "port" in values):
        raise ConfigError(f"{where}: port of {name} is 1 to 65535, not {port}")
    address = parse_address(values["address"], where) if "address" in values else ""
    return Host(name, slots, address, port)


def split_name(text: str, where: str) -> tuple[str, str]:
    """`node1:4`, `[fd00::4]:4`, `node1` or `fd00::4` -> name and slots, "" where the text has none."""
    if bracketed := re.fullmatch(r"\[([^]]*)\](?::([0-9]+))?", text):
        return ipv6(bracketed[1], where), bracketed[2] or ""
    if text.count(":") > 1:
        return ipv6(text, where), ""
    name, colon, slots = text.partition(":")
    if not NAME.fullmatch(name) or (colon and not re.fullmatch("[0-9]+", slots)):
        raise ConfigError(f"{where}: {text!r} is no host; {FORM}")
    return name, slots


def parse_address(text: str, where: str) -> str:
    """A host name, an IPv4 address, or an IPv6 address with or without brackets."""
    if ":" in text:
        return ipv6(text.removeprefix("[").removesuffix("]"), where)
    if not NAME.fullmatch(text):
        raise ConfigError(f"{where}: {text!r} is no address; write: address=10.0.0.3")
    return text


def ipv6(text: str, where: str) -> str:
    """The address in its short spelling, so that two spellings of one host are found to be one."""
    address, percent, interface = text.partition("%")
    try:
        if percent and not NAME.fullmatch(interface):
            raise ValueError(interface)
        return str(IPv6Address(address)) + percent + interface
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} is no IPv6 address; with slots it reads: [fd00::4]:4") from error


def whole_number(text: str, what: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ConfigError(f"{what} is a whole number, not {text!r}")
    return int(text)


def ranks_of(hosts: Iterable[Host]) -> int:
    """One rank a slot."""
    return sum(host.slots for host in hosts)


def spell_hosts(hosts: Iterable[Host]) -> str:
    """As horovodrun -H takes them: node1:4,node2:1."""
    return ",".join(f"{host.alias}:{host.slots}" for host in hosts)
