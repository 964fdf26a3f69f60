"""Every call that takes a number, with the numbers that are given on the command line.

Prints what each says: a value that does not depend on who is asked, or the name of the error.
"""

import ctypes
import errno
import os
import signal
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
NR = {
    "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "kcmp": 312, "tkill": 200,
    "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "ioprio_get": 252,
    "ioprio_set": 251, "prlimit64": 302, "migrate_pages": 256, "move_pages": 279,
    "get_robust_list": 274, "capget": 125, "perf_event_open": 298, "timer_create": 222,
    "sched_setparam": 142, "sched_getparam": 143, "sched_setscheduler": 144,
    "sched_getscheduler": 145, "sched_rr_get_interval": 148, "sched_setaffinity": 203,
    "sched_getaffinity": 204, "sched_setattr": 314, "sched_getattr": 315, "waitid": 247,
    "setpgid": 109, "getpgid": 121, "getsid": 124, "pidfd_open": 434, "setpriority": 141,
    "getpriority": 140, "kill": 62, "wait4": 61, "prctl": 157,
}
ATTACH, SEIZE, DETACH = 16, 0x4206, 17
FIOSETOWN, TIOCSPGRP = 0x8901, 0x5410
F_SETOWN, F_SETOWN_EX = 8, 15
PTRACER = 0x59616D61


def call(name, *args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(NR[name]), *args)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else "ok"


def other(act):
    try:
        act()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def iovec():
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    return ctypes.byref(vector), buffer


def ask(n):
    zero = ctypes.create_string_buffer(128)
    info = ctypes.create_string_buffer(struct.pack("iii", 0, 0, -1), 128)
    mask = ctypes.create_string_buffer(b"\xff" * 128, 128)
    local, keep = iovec()
    remote, keep_too = iovec()
    word = ctypes.create_string_buffer(8)
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, n), 8)
    attr = ctypes.create_string_buffer(struct.pack("II", 48, 0), 48)
    event = ctypes.create_string_buffer(struct.pack("QiiI", 0, 10, 4, n & 0xFFFFFFFF), 64)
    one, two = socket.socketpair()
    yield "kill", call("kill", n, 0)
    yield "kill group", call("kill", -n, 0) if n > 1 else "not asked"
    yield "tkill", call("tkill", n, 0)
    yield "tgkill", call("tgkill", n, n, 0)
    yield "rt_sigqueueinfo", call("rt_sigqueueinfo", n, 0, info)
    yield "rt_tgsigqueueinfo", call("rt_tgsigqueueinfo", n, n, 0, info)
    yield "pidfd_open", call("pidfd_open", n, 0)
    yield "getpgid", call("getpgid", n)
    yield "getsid", call("getsid", n)
    yield "setpgid", call("setpgid", n, 0)
    yield "setpgid to", call("setpgid", 0, n)
    yield "wait4", call("wait4", n, 0, 1, 0)
    yield "wait4 group", call("wait4", -n, 0, 1, 0) if n > 1 else "not asked"
    yield "waitid", call("waitid", 1, n, zero, 5, 0)
    yield "waitid group", call("waitid", 2, n, zero, 5, 0)
    yield "sched_getscheduler", call("sched_getscheduler", n)
    yield "sched_setscheduler", call("sched_setscheduler", n, 0, word)
    yield "sched_getparam", call("sched_getparam", n, word)
    yield "sched_setparam", call("sched_setparam", n, word)
    yield "sched_rr_get_interval", call("sched_rr_get_interval", n, zero)
    yield "sched_getaffinity", call("sched_getaffinity", n, 128, zero)
    yield "sched_setaffinity", call("sched_setaffinity", n, 128, mask)
    yield "sched_getattr", call("sched_getattr", n, zero, 56, 0)
    yield "getpriority", call("getpriority", 0, n)
    yield "getpriority group", call("getpriority", 1, n)
    yield "setpriority", call("setpriority", 0, n, 19)
    yield "setpriority group", call("setpriority", 1, n, 19)
    yield "ioprio_get", call("ioprio_get", 1, n)
    yield "ioprio_set", call("ioprio_set", 1, n, 3 << 13)
    yield "prlimit64", call("prlimit64", n, 7, 0, zero)
    yield "process_vm_readv", call("process_vm_readv", n, local, 1, remote, 1, 0)
    yield "process_vm_writev", call("process_vm_writev", n, local, 1, remote, 1, 0)
    yield "kcmp", call("kcmp", os.getpid(), n, 0, 0, 0)
    yield "get_robust_list", call("get_robust_list", n, word, word)
    yield "migrate_pages", call("migrate_pages", n, 8, word, word)
    yield "move_pages", call("move_pages", n, 0, 0, 0, 0, 0)
    yield "capget", call("capget", header, zero)
    yield "timer_create", call("timer_create", 0, event, word)
    yield "F_SETOWN", other(lambda: __import__("fcntl").fcntl(one, F_SETOWN, n))
    yield "F_SETOWN_EX", other(
        lambda: __import__("fcntl").fcntl(one, F_SETOWN_EX, struct.pack("ii", 1, n)))
    yield "FIOSETOWN", other(
        lambda: __import__("fcntl").ioctl(one, FIOSETOWN, struct.pack("i", n)))
    if "--trace" in sys.argv and n != 1:
        yield "PTRACE_ATTACH", call("ptrace", ATTACH, n, 0, 0)
        yield "PTRACE_SEIZE", call("ptrace", SEIZE, n, 0, 0)


for number in [word for word in sys.argv[1:] if not word.startswith("--")]:
    for name, said in ask(int(number)):
        print(name, said)
