"""Who has been waited for is there no longer, from the very moment that the wait has returned."""

import ctypes
import errno
import os
import signal
from collections import Counter

IOCTL, UNSHARE, NEWPID = 16, 272, 0x20000000
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """Makes a system call and says what came of it."""
    result = libc.syscall(number, *arguments)
    return "there" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def inits():
    """Asks the namespace of an init that has just been reaped for it, again and again."""
    for _ in range(60):
        child = os.fork()
        if child == 0:
            os._exit(0 if call(UNSHARE, NEWPID) == "there" and look() else 1)
        _, status = os.waitpid(child, 0)
        yield "done" if status == 0 else "failed"


def look():
    """An init's end as its namespace shows it, and as its number does."""
    init = os.fork()
    if init == 0:
        signal.pause()
    space = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY)
    before = [call(IOCTL, space, request, 1) for request in (0x8004B706, 0x8004B707)]
    os.kill(init, 9)
    os.waitpid(init, 0)
    after = [call(IOCTL, space, request, 1) for request in (0x8004B706, 0x8004B707)]
    by_number = [call(number, init) for number in (121, 124)] + [call(62, init, 0)]
    os.write(1, f"{before} {after} {by_number}\n".encode())
    return True


print(Counter(inits()))
