"""Changes a file and a directory in every way that takes a descriptor, and says what each came to.

usage: readonly.py DIRECTORY (with `file` and `dir` in it)
"""

import ctypes
import errno
import os
import struct
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
HERE = sys.argv[1]
SETFLAGS, SETVERSION, GETFLAGS, FSSETXATTR = 0x40086602, 0x40087602, 0x80086601, 0x401C5820
NODUMP = 0x40
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
SYS_FUTIMESAT, SYS_UTIMENSAT, SYS_FCHMODAT2 = 261, 280, 452
TIMES = struct.pack("4q", 7, 0, 8, 0)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def call(*arguments):
    return check(libc.syscall(*arguments))


def control(fd, request, argument):
    return check(libc.ioctl(fd, ctypes.c_ulong(request), argument))


def flags(fd):
    value = ctypes.create_string_buffer(8)
    control(fd, GETFLAGS, value)
    return struct.unpack("i", value.raw[:4])[0] & NODUMP


def set_flags(fd, extra):
    value = ctypes.create_string_buffer(8)
    control(fd, GETFLAGS, value)
    now = struct.unpack("i", value.raw[:4])[0]
    control(fd, SETFLAGS, struct.pack("i", now & ~NODUMP | extra) + bytes(4))


def remove(fd):
    os.setxattr(fd, "user.two", b"2")
    os.removexattr(fd, "user.two")


ATTEMPTS = [
    ("mode", lambda fd: os.fchmod(fd, 0o750)),
    ("mode, as at", lambda fd: call(SYS_FCHMODAT2, fd, b"", 0o750, AT_EMPTY_PATH)),
    ("owner", lambda fd: os.fchown(fd, 0, 0)),
    ("no owner", lambda fd: os.fchown(fd, -1, -1)),
    ("owner, as at", lambda fd: check(libc.fchownat(fd, b"", 0, 0, AT_EMPTY_PATH))),
    ("times", lambda fd: os.utime(fd, (1, 2))),
    ("now", lambda fd: os.utime(fd)),
    ("old times", lambda fd: call(SYS_FUTIMESAT, fd, None, TIMES)),
    ("wrong flags", lambda fd: call(SYS_UTIMENSAT, fd, None, TIMES, AT_EMPTY_PATH)),
    ("empty path", lambda fd: call(SYS_UTIMENSAT, fd, b"", TIMES, AT_EMPTY_PATH)),
    ("attribute", lambda fd: os.setxattr(fd, "user.one", b"1")),
    ("no attribute", lambda fd: os.removexattr(fd, "user.none")),
    ("attribute removed", remove),
    ("attribute of another sort", lambda fd: os.setxattr(fd, "trusted.one", b"1")),
    ("attribute without a name", lambda fd: check(libc.fsetxattr(fd, b"", b"1", 1, 0))),
    ("flags", lambda fd: set_flags(fd, NODUMP)),
    ("flags back", lambda fd: set_flags(fd, 0)),
    ("flags from nowhere", lambda fd: control(fd, SETFLAGS, None)),
    ("immutable", lambda fd: set_flags(fd, 0x10)),
    ("project", lambda fd: control(fd, FSSETXATTR, bytes(28))),
    ("version", lambda fd: control(fd, SETVERSION, bytes(8))),
]


def attempt(name, what, fd):
    try:
        result = what(fd)
    except OSError as error:
        result = errno.errorcode.get(error.errno, error.errno)
    print(" ", name, "=", result)


def state(fd):
    stat = os.fstat(fd)
    times = [t if t < 100 else "now" for t in (int(stat.st_atime), int(stat.st_mtime))]
    print(" ", oct(stat.st_mode), times, os.listxattr(fd), flags(fd))


def all_of(name, fd):
    print(name)
    for what, do in ATTEMPTS:
        attempt(what, do, fd)


for name in ["file", "dir"]:
    os.chmod(f"{HERE}/{name}", 0o700) if os.access(HERE, os.W_OK) else None
    fd = os.open(f"{HERE}/{name}", os.O_RDONLY)
    all_of(name, fd)
    state(fd)
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    attempt("again", lambda fd: os.fchmod(fd, 0o700), again)
    # Beside another thread, which shares the descriptors.
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    all_of(f"{name}, beside a thread", fd)
    event.set()
    thread.join()
    all_of(f"{name}, by O_PATH", os.open(f"{HERE}/{name}", os.O_PATH))
os.chdir(HERE)
print("working directory")
attempt("times", lambda fd: call(SYS_UTIMENSAT, fd, None, TIMES, 0), AT_FDCWD)
attempt("old times", lambda fd: call(SYS_FUTIMESAT, fd, None, TIMES), AT_FDCWD)
attempt("empty path", lambda fd: call(SYS_UTIMENSAT, fd, b"", TIMES, AT_EMPTY_PATH), AT_FDCWD)
for name, fd in [
    ("pipe", os.pipe()[0]),
    ("memory", os.memfd_create("m")),
    ("proc", os.open("/proc/self/stat", os.O_RDONLY)),
    ("null", os.open("/dev/null", os.O_RDONLY)),
    ("none", 999),
]:
    print(name)
    for what, do in ATTEMPTS:
        if "attribute" not in what and "flags" not in what:
            attempt(what, do, fd)
