"""Can these hosts train together? What they said of themselves, side by side, and for what is wrong how to mend it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from horovod_ocr.data.shared_memory import choose_workers, shortage
from horovod_ocr.launch.hosts.report import Cell, DoctorReport, Peers, Probe, Row, gpus_of

CLOCKS_APART_S = 2.0
LITTLE_MEMORY_BYTES = 1 << 30  # a rank
LITTLE_SHARED_BYTES = 256 << 20  # a rank with loader workers; containers have 64 MB in all unless told otherwise
LARGER = "docker run --shm-size=2g"
LITTLE_DISK_BYTES = 2 << 30
MAKE_SETUP = "make the environment there again: make setup"


def judge(
    probes: Sequence[Probe],
    own_interfaces: dict[str, list[str]] | None = None,
    interfaces_given: bool = False,
    workers: int = -1,
    device: str = "auto",
) -> DoctorReport:
    """A row for each fact that any host was asked for. A host that does not answer fails in the first row; the others
    are judged among themselves."""
    answering = tuple(probe for probe in probes if not probe.error)
    peers = Peers(answering, own_interfaces or {}, interfaces_given, workers, device)
    rows = [Row("ssh", tuple(map(judge_ssh, probes)))]
    for name, (fact, judge_fact) in FACTS.items():
        if any(fact in probe.facts for probe in peers.probes):
            rows.append(Row(name, tuple(judge_cell(judge_fact, fact, probe, peers) for probe in probes)))
    return DoctorReport(tuple(probe.host for probe in probes), tuple(rows))


def judge_cell(judge_fact: Callable[[Probe, Peers], Cell], fact: str, probe: Probe, peers: Peers) -> Cell:
    if probe.error or fact not in probe.facts:
        return Cell("", "unknown")
    return judge_fact(probe, peers)


def judge_ssh(probe: Probe) -> Cell:
    if probe.error:
        return Cell("no answer", "fails", probe.error)
    return Cell("answers" if probe.started_by else "this machine")


def same_on_all(probe: Probe, peers: Peers, fact: str, key: str, mend: str) -> Cell:
    """Fails where the host has another value than most."""
    mine, usual = probe.get(fact, key), peers.usual(fact, key)
    if mine == usual:
        return Cell(str(mine))
    return Cell(str(mine), "fails", f"{mine} here, {usual} on {peers.with_value(fact, key, usual)}; {mend}")


def judge_python(probe: Probe, peers: Peers) -> Cell:
    return same_on_all(probe, peers, "python", "version", MAKE_SETUP)


def judge_torch(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("torch", "why"):
        return Cell("none", "fails", f"{why}; {MAKE_SETUP}")
    if why := probe.get("build", "why"):
        return Cell("does not load", "fails", f"{why}; {MAKE_SETUP}")
    return same_on_all(probe, peers, "torch", "version", MAKE_SETUP)


def judge_horovod(probe: Probe, peers: Peers) -> Cell:
    """The version names what it was built against, and with what; what it can do is asked of itself."""
    built = probe.get("build", "horovod") or {}
    if why := built.get("why") or probe.get("horovod", "why"):
        if peers.train_in_one_process:
            return Cell("none", "warns", f"{why}; one process trains without it, more need it: make setup")
        return Cell("none", "fails", f"{why}; {MAKE_SETUP}")
    cell = same_on_all(probe, peers, "horovod", "version", MAKE_SETUP)
    names = [name for name in ("gloo", "mpi", "nccl") if built.get(name)]
    cell = replace(cell, text=" ".join([str(probe.get("horovod", "version")).split("+")[0], *names]))
    if cell.state == "ok" and built and not built["gloo"]:
        return replace(
            cell, state="fails", remark=f"Horovod was built without Gloo, which starts the ranks; {MAKE_SETUP}"
        )
    if cell.state == "ok" and built and not built["nccl"] and peers.train_on_gpus and not peers.train_in_one_process:
        remark = (
            "built without NCCL, it waits for ever for what lies on a GPU; build it there with: "
            "scripts/build_horovod.sh --nccl; or train on the CPUs: --device cpu"
        )
        return replace(cell, state="fails", remark=remark)
    return cell


def judge_package(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("package", "why"):
        return Cell("?", "fails", f"the project's files cannot be read: {why}")
    cell = same_on_all(probe, peers, "package", "version", "bring the project there to the same version")
    mine, usual = probe.get("package", "sources"), peers.usual("package", "sources")
    cell = replace(cell, text=f"{cell.text} ({mine[:7]})")
    if cell.state == "ok" and mine != usual:
        same = peers.with_value("package", "sources", usual)
        remark = f"files of {probe.get('package', 'folder')} are not those of {same}; copy the project anew"
        return replace(cell, state="warns", remark=remark)
    return cell


def judge_gpus(probe: Probe, peers: Peers) -> Cell:
    """Ranks train on a GPU each, or all on the CPU. What torch sees counts: it may be less than the driver lists."""
    names, driver = probe.get("gpus", "names") or [], probe.get("gpus", "driver")
    text = f"{len(names)} {names[0]}" if names else "none"
    text += f", {driver}" if driver else ""
    if peers.device == "cpu":
        return Cell(text)
    if why := probe.get("gpus", "why"):
        return Cell("?", "fails", f"{why}; repair the driver of the GPU, nvidia-smi must answer")
    if why := probe.get("build", "gpu_problem"):
        return Cell(text, "fails", f"{why}; or train on the CPUs: --device cpu")
    seen = gpus_of(probe)
    if names and not seen:
        why = probe.get("build", "gpu_remark") or "the reason is not known"
        remark = f"torch sees no GPU here: {why}"
        return Cell(text, "fails" if peers.device == "cuda" or peers.have_gpus else "warns", remark)
    if not seen and peers.have_gpus:
        others = ", ".join(peer.host for peer in peers.probes if gpus_of(peer))
        return Cell(text, "fails", f"no GPU here, but on {others}: all would train on the CPU; leave one kind out")
    if not seen and peers.device == "cuda":
        why = f": torch {probe.get('build', 'torch')} is built without CUDA" if probe.get("build", "cuda") == "" else ""
        return Cell(text, "fails", f"no GPU here{why}; leave the host out, or give --device auto")
    if probe.slots > seen > 0:
        remark = f"slots={probe.slots} in hosts.txt, but GPUs: {seen}; lower its slots"
        if peers.device == "cuda":
            return Cell(text, "fails", remark)
        return Cell(text, "warns", f"{remark}, or all ranks train on the CPU")
    if others := [peer.host for peer in peers.probes if set(names) != set(peer.get("gpus", "names") or names)]:
        return Cell(text, "warns", f"other GPUs than on {', '.join(others)}: all ranks go at the pace of the slowest")
    if driver and driver != (usual := peers.usual("gpus", "driver")):
        same = peers.with_value("gpus", "driver", usual)
        return Cell(text, "warns", f"driver {driver} here, {usual} on {same}; best is the same on all")
    return Cell(text)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def judge_memory(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("memory", "why"):
        return Cell("?", "warns", why)
    free = probe.get("memory", "free_bytes")
    cell = Cell(f"{gigabytes(free)} free")
    if free < probe.slots * LITTLE_MEMORY_BYTES:
        return replace(cell, state="warns", remark="little for its slots; end what else runs there, or lower its slots")
    return cell


def judge_shared_memory(probe: Probe, peers: Peers) -> Cell:
    """Training refuses to begin where the batches of its loader workers do not fit, so that fails here, too."""
    free = probe.get("memory", "shared_bytes")
    if free is None:
        return Cell("", "unknown")
    cell = Cell(f"{free / 1e6:,.0f} MB free" if free < 1e9 else f"{gigabytes(free)} free")
    batch_bytes = probe.get("shards", "batch_bytes") or 0
    wanted = peers.workers, peers.train_on_gpus, (probe.get("machine", "cores") or 1) // probe.slots
    workers = choose_workers(*wanted, probe.slots, batch_bytes, free)
    if batch_bytes and (why := shortage(batch_bytes, workers, probe.slots, free)):
        return replace(cell, state="fails", remark=why)
    if workers < (most := choose_workers(*wanted)):
        remark = f"room for {workers} loader workers of each rank, not {most}; give the container more: {LARGER}"
        return replace(cell, state="warns", remark=remark)
    if workers and not batch_bytes and free < probe.slots * LITTLE_SHARED_BYTES:
        remark = f"little for the loader workers; give the container more: {LARGER}"
        return replace(cell, state="warns", remark=remark)
    return cell


def judge_disk(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("disk", "why"):
        return Cell("?", "warns", why)
    free = probe.get("disk", "free_bytes")
    if free < LITTLE_DISK_BYTES:
        remark = "little for checkpoints; delete old runs, or give --runs a folder on a larger disk"
        return Cell(f"{gigabytes(free)} free", "warns", remark)
    return Cell(f"{gigabytes(free)} free")


def judge_cache(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("cache", "why"):
        return Cell("none", "warns", f"{why}; shards will be read without copies on this host's own disk")
    return Cell(f"{gigabytes(probe.get('cache', 'free_bytes'))} free")


def judge_clock(probe: Probe, peers: Peers) -> Cell:
    off = probe.clock_off_s
    if abs(off) < CLOCKS_APART_S:
        return Cell("same" if off == 0 else f"{off:+.1f} s")
    remark = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this machine's; set it: timedatectl set-ntp true"
    return Cell(f"{off:+.1f} s", "warns", remark)


def judge_shards(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("shards", "why"):
        return Cell("none", "fails", why)
    mine, usual = probe.get("shards", "digest"), peers.usual("shards", "digest")
    if mine != usual:
        same = peers.with_value("shards", "digest", usual)
        return Cell(mine[:7], "fails", f"another shard set than on {same}; copy it from there, or share one folder")
    if probe.get("shards", "train") == 0:
        remark = "its train split is empty; divide its images: horovod-ocr shard --split label --fractions 0.8,0.1,0.1"
        return Cell(mine[:7], "fails", remark)
    return Cell(mine[:7])


def judge_runs(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("runs", "why"):
        return Cell("not writable", "fails", f"{why}; give --runs a folder that can be written")
    if probe.get("runs", "sees_mark") is False:
        remark = (
            "this host has a folder of its own here, not this machine's: it could not go on from a checkpoint that "
            "another host wrote; put runs on storage that all hosts share"
        )
        return Cell("own folder", "warns", remark)
    return Cell("writable")


def judge_network(probe: Probe, peers: Peers) -> Cell:
    """Ranks and the machine that starts them find each other through an interface that has one name everywhere."""
    if why := probe.get("interfaces", "why"):
        return Cell("?", "warns", why)
    starter = ""  # this machine, which may be one of the hosts, also by ssh
    others = {peer.host: peer.get("interfaces", "addresses") or {} for peer in peers.probes if peer.started_by}
    others = {host: found for host, found in others.items() if not found or found != peers.own_interfaces}
    if not others:
        return Cell("lo")
    machines = {starter: peers.own_interfaces} | others
    # docker0 has the same address on every host: it leads to none
    seen = Counter(address for each in machines.values() for addresses in each.values() for address in addresses)
    leading = {
        host: {name for name, addresses in each.items() if any(seen[address] == 1 for address in addresses)}
        for host, each in machines.items()
    }
    if common := set.intersection(*leading.values()):
        return Cell(" ".join(sorted(common)))
    mine = leading.get(probe.host, leading[starter])
    shown = Cell(" ".join(sorted(mine)) or "none", "warns" if peers.interfaces_given else "fails")
    names = Counter(name for names in leading.values() for name in sorted(names))
    if not names:
        return replace(shown, remark="no host has a network address of its own; connect them to one network")
    usual, times = names.most_common(1)[0]
    if times == 1:
        return replace(shown, remark="no interface of one name on all hosts; give the one between them the same name")
    if usual not in mine:
        return replace(shown, remark=f"the others meet through {usual}; give this host's interface the same name")
    if usual not in leading[starter]:
        return replace(shown, remark=f"this machine, which starts the ranks, has no interface {usual}; rename its own")
    return replace(shown, state="ok")


# name of the row: the fact that it shows, and who judges it
FACTS: dict[str, tuple[str, Callable[[Probe, Peers], Cell]]] = {
    "python": ("python", judge_python),
    "torch": ("torch", judge_torch),
    "horovod": ("horovod", judge_horovod),
    "package": ("package", judge_package),
    "GPU, driver": ("gpus", judge_gpus),
    "memory": ("memory", judge_memory),
    "/dev/shm": ("memory", judge_shared_memory),
    "disk": ("disk", judge_disk),
    "cache": ("cache", judge_cache),
    "clock": ("machine", judge_clock),
    "shards": ("shards", judge_shards),
    "runs": ("runs", judge_runs),
    "network": ("interfaces", judge_network),
}
