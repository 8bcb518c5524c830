"""hosts.txt: what is written is read back, and every bad line is named."""

import ipaddress
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.errors import ConfigError
from horovod_ocr.launch.hosts.hosts_file import Host, parse_hosts, read_hosts, spell_hosts

plain_names = st.from_regex(r"[a-z0-9_][a-z0-9._-]{0,12}", fullmatch=True)
ipv6_names = st.builds("{}{}".format, st.ip_addresses(v=6), st.sampled_from(["", "", "%eth0"]))
addresses = st.one_of(st.none(), plain_names, st.ip_addresses().map(str))
names = st.one_of(plain_names, ipv6_names)
hosts = st.builds(Host, names, st.integers(1, 64), addresses, st.one_of(st.none(), st.integers(1, 65535)))
host_lists = st.lists(hosts, min_size=1, max_size=5, unique_by=lambda host: host.alias)


@st.composite
def spelling_of(draw, host: Host) -> str:
    """One of the ways to write a host down."""
    is_ipv6 = ":" in host.name
    name = f"[{host.name}]" if is_ipv6 and draw(st.booleans()) else host.name
    keys = []
    if host.slots > 1 or draw(st.booleans()):
        if draw(st.booleans()) and (not is_ipv6 or name.startswith("[")):
            name += f":{host.slots}"
        else:
            keys.append(f"slots{draw(st.sampled_from(['=', ' = ', '= ']))}{host.slots}")
    if host.address:
        keys.append(f"address={host.address}")
    if host.port:
        keys.append(f"port={host.port}")
    if draw(st.booleans()):
        keys.append("max_slots=99")
    line = draw(st.sampled_from([" ", "\t", "   "])).join([name, *draw(st.permutations(keys))])
    return draw(st.sampled_from(["", "  "])) + line + draw(st.sampled_from(["", " ", " # slots=7", "#"]))


@pytest.mark.slow
@given(host_lists, st.data())
def test_what_is_written_is_read_back_in_its_order(listed, data):
    lines = []
    for host in listed:
        lines += data.draw(st.lists(st.sampled_from(["", "   ", "# node9 slots=9"]), max_size=2))
        lines.append(data.draw(spelling_of(host)))
    assert parse_hosts("\n".join(lines), "hosts.txt") == tuple(listed)


@pytest.mark.slow
@given(host_lists)
def test_horovodrun_gets_every_host_with_its_slots_and_no_colon_in_a_name(listed):
    entries = spell_hosts(tuple(listed)).split(",")
    assert all(re.fullmatch(r"[\w.-]+:[0-9]+", entry) for entry in entries)  # what horovodrun -H takes
    assert [tuple(entry.split(":")) for entry in entries] == [(host.alias, str(host.slots)) for host in listed]
    read = parse_hosts("\n".join(entries), "t")
    assert [(host.name, host.slots) for host in read] == [(host.alias, host.slots) for host in listed]


@given(st.text(max_size=40))
def test_any_text_is_hosts_or_an_error_that_names_its_source(text):
    try:
        found = parse_hosts(text, "some/hosts.txt")
    except ConfigError as error:
        assert str(error).startswith("some/hosts.txt") and "\n" not in str(error)
    else:
        assert found and all(host.slots > 0 and not host.name.startswith("-") for host in found)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("node2 slot=4", "no setting 'slot'; did you mean 'slots'?"),
        ("node2 adress=10.0.0.1", "no setting 'adress'; did you mean 'address'?"),
        ("node2 gpu=4", "no setting 'gpu'; there are: slots, address, port"),
        ("node2 4", "'node2 4' is no host; write: host slots=4, or host:4, or host"),
        ("node2:", "'node2:' is no host"),
        ("node2:four", "'node2:four' is no host"),
        ("node2,node3", "'node2,node3' is no host"),
        ("-oProxyCommand=touch", "no host"),
        (
            "user@node2",
            "'user@node2' names a user, and horovodrun takes host names only; write 'node2' here, and in "
            "~/.ssh/config: Host node2, and below it: User user",
        ),
        ("user@node2:4", "write 'node2:4' here, and in ~/.ssh/config: Host node2, and"),
        ("slots=4", "no host"),
        ("node2 slots=", "slots of node2 is a whole number, not ''"),
        ("node2 slots=-1", "slots of node2 is a whole number, not '-1'"),
        ("node2 slots=0", "node2 has no slot; comment the line out"),
        ("node2:0", "node2 has no slot"),
        ("node2:4 slots=4", "slots of node2 is given twice"),
        ("node2 port=1 port=1", "port of node2 is given twice"),
        ("node2 port=0", "port of node2 is 1 to 65535, not 0"),
        ("node2 port=65536", "port of node2 is 1 to 65535, not 65536"),
        ("node2 address=", "'' is not an address"),
        ("node2 address=-oX", "'-oX' is not an address"),
        ("node2 address=fd00::g", "'fd00::g' is not an IPv6 address"),
        ("fd00::1::2", "'fd00::1::2' is not an IPv6 address; with slots it reads: [fd00::4]:4"),
        ("[node2]:4", "'node2' is not an IPv6 address"),
        ("[fd00::1]4", "not an IPv6 address"),
        ("fe80::1%;touch", "'fe80::1%;touch' is not an IPv6 address"),
        ("node1 slots=4", "node1 stands there a second time; give it one line with all its slots"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_a_way_out(line, says):
    with pytest.raises(ConfigError) as error:
        parse_hosts(f"node1\n\n# node2\n{line}  # comment\n", "hosts.txt")
    assert str(error.value).startswith("hosts.txt, line 4: ") and says in str(error.value)


@pytest.mark.slow
@given(st.ip_addresses(v=6))
def test_an_ipv6_host_given_twice_in_two_spellings_is_found(address):
    long = ipaddress.IPv6Address(address).exploded.upper()
    with pytest.raises(ConfigError, match="line 2: .* a second time"):
        parse_hosts(f"{address}\n[{long}]:4", "hosts.txt")


@pytest.mark.parametrize("text", ["", "\n\n", "# node1\n  # node2 slots=4\n"])
def test_a_file_without_a_host_says_so(text):
    with pytest.raises(ConfigError, match="hosts.txt: names no host; write one a line"):
        parse_hosts(text, "hosts.txt")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        ConfigError,
        match=re.escape(f"{tmp_path / 'none.txt'}: there is no such file; write it, a host a line (node1 slots=1"),
    ):
        read_hosts(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary: this is UTF-16, or no text at all; save it as UTF-8"):
        read_hosts(tmp_path / "binary")


def test_the_project_s_own_hosts_txt_is_this_machine():
    assert read_hosts(Path(__file__).parents[4] / "hosts.txt") == (Host("localhost", 3),)


BOTH_READ = [
    "node1",
    "node1:4",
    "node1 slots=4",
    "node1 slots = 4",
    "node1 slots=4 max_slots=8",
    "  node1:2  # two",
    "10.0.0.1:2",
    "node1 slots=4 address=10.0.0.3",
    "node1:4 port=2222 address=fd00::1",
    "node1 address=a port=1",
    "n.1-x_ slots=1",
    "node1 port=2222 slots=4",
    "node1 address=[fd00::1] slots=2 max-slots=3",
    "node1 address = a slots = 3",
]
BOTH_REFUSE = [
    "node1 slots=0",
    "node1:0",
    "node1:",
    "node1 4",
    "node1:4 slots=4",
    "node1 slot=4",
    "node1 slots=4 slots=4",
    "",
    "#",
    "user@node1",
    "node1,node2",
    "node1\nnode1",
    "node1 slots=-1",
    "node1 slots=4x",
    "node1 port",
    "-o slots=1",
]


@pytest.mark.parametrize("text", [*BOTH_READ, *BOTH_REFUSE])
def test_the_patched_horovodrun_reads_and_refuses_the_same_lines(text, tmp_path):
    """Names and slots only; horovodrun leaves address and port to the configuration of ssh."""
    theirs = pytest.importorskip("horovod.runner.common.util.hosts", reason="needs Horovod (make setup)")
    (tmp_path / "hosts.txt").write_text(text)
    if text in BOTH_READ:
        assert theirs.parse_host_files(tmp_path / "hosts.txt") == spell_hosts(read_hosts(tmp_path / "hosts.txt"))
        return
    with pytest.raises(ConfigError):
        read_hosts(tmp_path / "hosts.txt")
    with pytest.raises(ValueError):
        theirs.parse_host_files(tmp_path / "hosts.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_host(tmp_path, encoding):
    (tmp_path / "hosts.txt").write_bytes("node1 slots=4\r\nnode2  # der zweite: ä\r\n".encode(encoding))
    assert read_hosts(tmp_path / "hosts.txt") == (Host("node1", 4), Host("node2"))


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("utf-16", "hosts.txt: this is UTF-16, or no text at all; save it as UTF-8"),
        ("utf-16-le", "hosts.txt: this is UTF-16, or no text at all; save it as UTF-8"),
        ("latin-1", "hosts.txt, line 2: this is not UTF-8; save the file as UTF-8"),
    ],
)
def test_another_encoding_is_named(tmp_path, encoding, sentence):
    (tmp_path / "hosts.txt").write_bytes("node1\nnode2  # ä\n".encode(encoding))
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        read_hosts(tmp_path / "hosts.txt")
