"""Can these hosts train together? Their answers are compared, fact by fact; remarks say how to repair what is wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from horovod_ocr.console import size_text
from horovod_ocr.data.shared_memory import choose_workers, shortage
from horovod_ocr.launch.hosts.report import (
    UNKNOWN,
    Cell,
    CellState,
    DoctorReport,
    Peers,
    Probe,
    Row,
    fails,
    gpus_of,
    warns,
)

CLOCKS_APART_S = 2.0
LITTLE_MEMORY_BYTES = 1 << 30  # per rank
LITTLE_SHARED_BYTES = 256 << 20  # per rank with loader workers; by default a container has 64 MB in all
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
    """A row for each fact that any host was asked about.

    A host that does not answer fails in the first row, and the others are compared with each other. own_interfaces: of
    this machine, by name. The rest as in `Peers`.
    """
    answering = tuple(probe for probe in probes if not probe.error)
    peers = Peers(answering, own_interfaces or {}, interfaces_given, workers, device)
    rows = [Row("ssh", tuple(map(judge_ssh, probes)))]
    for name, (fact, judge_fact) in FACTS.items():
        if any(fact in probe.facts for probe in peers.probes):
            rows.append(Row(name, tuple(judge_cell(judge_fact, fact, probe, peers) for probe in probes)))
    return DoctorReport(tuple(probe.host for probe in probes), tuple(rows))


def judge_cell(judge_fact: Callable[[Probe, Peers], Cell], fact: str, probe: Probe, peers: Peers) -> Cell:
    if probe.error or fact not in probe.facts:
        return UNKNOWN
    return judge_fact(probe, peers)


def judge_ssh(probe: Probe) -> Cell:
    if probe.error:
        return fails("no answer", probe.error)
    return Cell("this machine" if probe.is_this_machine else "answers")


def same_on_all(probe: Probe, peers: Peers, fact: str, key: str, repair: str) -> Cell:
    """Fails if the value of the host differs from the most frequent one."""
    mine, usual = probe.get(fact, key), peers.usual(fact, key)
    if mine == usual:
        return Cell(str(mine))
    return fails(str(mine), f"{mine} here, {usual} on {peers.with_value(fact, key, usual)}; {repair}")


def judge_python(probe: Probe, peers: Peers) -> Cell:
    return same_on_all(probe, peers, "python", "version", MAKE_SETUP)


def judge_torch(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("torch", "why"):
        return fails("none", f"{why}; {MAKE_SETUP}")
    if why := probe.get("build", "why"):
        return fails("does not load", f"{why}; {MAKE_SETUP}")
    return same_on_all(probe, peers, "torch", "version", MAKE_SETUP)


def judge_horovod(probe: Probe, peers: Peers) -> Cell:
    """The version names the torch it was built against; whether it has Gloo, MPI and NCCL shows when it is loaded."""
    built = probe.get("build", "horovod") or {}
    if why := built.get("why") or probe.get("horovod", "why"):
        if peers.train_in_one_process:
            return warns("none", f"{why}; one process trains without it, more need it: make setup")
        return fails("none", f"{why}; {MAKE_SETUP}")
    cell = same_on_all(probe, peers, "horovod", "version", MAKE_SETUP)
    names = [name for name in ("gloo", "mpi", "nccl") if built.get(name)]
    cell = replace(cell, text=" ".join([str(probe.get("horovod", "version")).split("+")[0], *names]))
    if cell.state == CellState.OK and built and not built["gloo"]:
        return fails(cell.text, f"Horovod was built without Gloo, which starts the ranks; {MAKE_SETUP}")
    needs_nccl = peers.train_on_gpus and not peers.train_in_one_process
    if cell.state == CellState.OK and built and needs_nccl and not built["nccl"]:
        remark = (
            "built without NCCL, it waits for ever for tensors on a GPU; build it there with: "
            "scripts/build_horovod.sh --nccl; or train on the CPUs: --device cpu"
        )
        return fails(cell.text, remark)
    return cell


def judge_package(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("package", "why"):
        return fails("?", f"the project's files cannot be read: {why}")
    cell = same_on_all(probe, peers, "package", "version", "bring the project there to the same version")
    mine, usual = probe.get("package", "sources"), peers.usual("package", "sources")
    cell = replace(cell, text=f"{cell.text} ({mine[:7]})")
    if cell.state == CellState.OK and mine != usual:
        same = peers.with_value("package", "sources", usual)
        remark = f"files of {probe.get('package', 'folder')} are not those of {same}; copy the project anew"
        return warns(cell.text, remark)
    return cell


def judge_gpus(probe: Probe, peers: Peers) -> Cell:
    """Each rank trains on a GPU of its own, or all train on the CPU. torch may see fewer GPUs than the driver lists."""
    names, driver = probe.get("gpus", "names") or [], probe.get("gpus", "driver")
    text = f"{len(names)} {names[0]}" if names else "none"
    text += f", {driver}" if driver else ""
    if peers.device == "cpu":
        return Cell(text)
    if why := probe.get("gpus", "why"):
        return fails("?", f"{why}; repair the driver of the GPU, nvidia-smi must answer")
    if why := probe.get("build", "gpu_problem"):
        return fails(text, f"{why}; or train on the CPUs: --device cpu")
    seen = gpus_of(probe)
    if names and not seen:
        why = probe.get("build", "gpu_remark") or "the reason is not known"
        remark = f"torch sees no GPU here: {why}"
        return (fails if peers.device == "cuda" or peers.have_gpus else warns)(text, remark)
    if not seen and peers.have_gpus:
        others = ", ".join(peer.host for peer in peers.probes if gpus_of(peer))
        return fails(text, f"no GPU here, but on {others}: all would train on the CPU; leave one kind out")
    if not seen and peers.device == "cuda":
        why = f": torch {probe.get('build', 'torch')} is built without CUDA" if probe.get("build", "cuda") == "" else ""
        return fails(text, f"no GPU here{why}; leave the host out, or give --device auto")
    if probe.slots > seen > 0:
        remark = f"slots={probe.slots}, but GPUs: {seen}; lower its slots"
        if peers.device == "cuda":
            return fails(text, remark)
        return warns(text, f"{remark}, or all ranks train on the CPU")
    if differing := [peer.host for peer in peers.probes if set(names) != set(peer.get("gpus", "names") or names)]:
        return warns(text, f"other GPUs than on {', '.join(differing)}: all ranks go at the pace of the slowest")
    if driver and driver != (usual := peers.usual("gpus", "driver")):
        same = peers.with_value("gpus", "driver", usual)
        return warns(text, f"driver {driver} here, {usual} on {same}; best is the same on all")
    return Cell(text)


def judge_memory(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("memory", "why"):
        return warns("?", why)
    free = probe.get("memory", "free_bytes")
    cell = Cell(f"{size_text(free)} free")
    if free < probe.slots * LITTLE_MEMORY_BYTES:
        return warns(cell.text, "little for its slots; end what else runs there, or lower its slots")
    return cell


def judge_shared_memory(probe: Probe, peers: Peers) -> Cell:
    """Training refuses to start if the batches of its loader workers do not fit, so this cell fails too."""
    free = probe.get("memory", "shared_bytes")
    if free is None:
        return UNKNOWN
    cell = Cell(f"{size_text(free)} free")
    batch_bytes = probe.get("shards", "batch_bytes") or 0
    wanted = peers.workers, peers.train_on_gpus, (probe.get("machine", "cores") or 1) // probe.slots
    workers = choose_workers(*wanted, probe.slots, batch_bytes, free)
    if batch_bytes and (why := shortage(batch_bytes, workers, probe.slots, free)):
        return fails(cell.text, why)
    if workers < (most := choose_workers(*wanted)):
        remark = f"room for {workers} loader workers of each rank, not {most}; give the container more: {LARGER}"
        return warns(cell.text, remark)
    if workers and not batch_bytes and free < probe.slots * LITTLE_SHARED_BYTES:
        remark = f"little for the loader workers; give the container more: {LARGER}"
        return warns(cell.text, remark)
    return cell


def judge_disk(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("disk", "why"):
        return warns("?", why)
    free = probe.get("disk", "free_bytes")
    if free < LITTLE_DISK_BYTES:
        remark = "little for checkpoints; delete old runs, or give --runs a folder on a larger disk"
        return warns(f"{size_text(free)} free", remark)
    return Cell(f"{size_text(free)} free")


def judge_cache(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("cache", "why"):
        return warns("none", f"{why}; shards will be read without copies on this host's own disk")
    return Cell(f"{size_text(probe.get('cache', 'free_bytes'))} free")


def judge_clock(probe: Probe, peers: Peers) -> Cell:
    off = probe.clock_off_s
    if abs(off) < CLOCKS_APART_S:
        return Cell("same" if off == 0 else f"{off:+.1f} s")
    remark = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this machine's; set it: timedatectl set-ntp true"
    return warns(f"{off:+.1f} s", remark)


def judge_shards(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("shards", "why"):
        return fails("none", why)
    mine, usual = probe.get("shards", "digest"), peers.usual("shards", "digest")
    if mine != usual:
        same = peers.with_value("shards", "digest", usual)
        return fails(mine[:7], f"another shard set than on {same}; copy it from there, or share one folder")
    if probe.get("shards", "train") == 0:
        remark = "its train split is empty; divide its images: horovod-ocr shard --split label --fractions 0.8,0.1,0.1"
        return fails(mine[:7], remark)
    return Cell(mine[:7])


def judge_runs(probe: Probe, peers: Peers) -> Cell:
    if why := probe.get("runs", "why"):
        return fails("not writable", f"{why}; give --runs a folder that can be written")
    if probe.get("runs", "sees_mark") is False:
        remark = (
            "this host has a folder of its own here, not this machine's: it could not go on from a checkpoint that "
            "another host wrote; put runs on storage that all hosts share"
        )
        return warns("own folder", remark)
    return Cell("writable")


def judge_network(probe: Probe, peers: Peers) -> Cell:
    """The ranks and the machine that starts them meet through a network interface that has the same name on all."""
    if why := probe.get("interfaces", "why"):
        return warns("?", why)
    starter = ""  # the key of this machine, which may also be one of the hosts, even one reached by ssh
    others = {peer.host: peer.get("interfaces", "addresses") or {} for peer in peers.probes if not peer.is_this_machine}
    others = {host: found for host, found in others.items() if not found or found != peers.own_interfaces}
    if not others:
        return Cell("lo")
    machines = {starter: peers.own_interfaces} | others
    # an address that two hosts have leads to neither: docker0 has the same one everywhere
    seen = Counter(address for each in machines.values() for addresses in each.values() for address in addresses)
    leading = {
        host: {name for name, addresses in each.items() if any(seen[address] == 1 for address in addresses)}
        for host, each in machines.items()
    }
    if common := set.intersection(*leading.values()):
        return Cell(" ".join(sorted(common)))
    mine = leading.get(probe.host, leading[starter])
    shown, say = " ".join(sorted(mine)) or "none", warns if peers.interfaces_given else fails
    names = Counter(name for names in leading.values() for name in sorted(names))
    if not names:
        return say(shown, "no host has a network address of its own; connect them to one network")
    usual, times = names.most_common(1)[0]
    if times == 1:
        return say(shown, "no interface of one name on all hosts; give the one between them the same name")
    if usual not in mine:
        return say(shown, f"the others meet through {usual}; give this host's interface the same name")
    if usual not in leading[starter]:
        return say(shown, f"this machine, which starts the ranks, has no interface {usual}; rename its own")
    return Cell(shown)


# name of the row -> the fact that it shows, and the function that judges it
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
