"""A network device that returns each packet some time after it was sent to it, as a long cable does.

The kernel's own way, netem, is not in every kernel. A packet is what the sender's TCP made, up to 64 KB, so that few
system calls carry a gigabit.

    delay_line.py DEVICE DELAY_MS     says "ready" when the device exists, which is gone when the program ends
"""

import fcntl
import os
import select
import struct
import sys
from collections import deque
from contextlib import suppress
from time import monotonic

# <linux/if_tun.h>
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 1, 2, 4, 8

LARGEST_BYTES = 70_000  # 64 KB, with headers


def open_device(name: str) -> int:
    """A TAP device. A read of the file takes a packet, and a write returns one, not yet cut to the MTU nor summed."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
    return device


def return_packets(device: int, delay_s: float) -> None:
    held: deque[tuple[float, bytes]] = deque()  # when it is due, packet
    wait_s = None
    while True:
        readable, _, _ = select.select([device], [], [], wait_s)
        now = monotonic()
        if readable:
            held.append((now + delay_s, os.read(device, LARGEST_BYTES)))
        while held and held[0][0] <= now:
            os.write(device, held.popleft()[1])
        wait_s = held[0][0] - now if held else None


if __name__ == "__main__":
    with suppress(PermissionError):  # in some containers: then it is later when the cores are busy
        # before all other programs, as the kernel's own, and without a timer slack of 50 us
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    device = open_device(sys.argv[1])
    print("ready", flush=True)
    return_packets(device, float(sys.argv[2]) / 1000)
