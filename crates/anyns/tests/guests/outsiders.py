"""Tries to reach a process outside by every path call, and what is inside by the same.

The argument is the outsider's number, which no line of the output shows.
"""

import ctypes
import errno
import os
import sys

OUT = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """Makes a system call."""
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def says(what, act):
    """Prints what came of it."""
    try:
        result = act()
        text = result if isinstance(result, (str, bytes, bool)) else "ok"
    except OSError as error:
        text = errno.errorcode[error.errno]
    print(what, text)


# access, faccessat2, name_to_handle_at, getdents
ACCESS, FACCESSAT2, HANDLE, GETDENTS = 21, 439, 303, 78


def handle(path):
    """name_to_handle_at(2)."""
    room = ctypes.create_string_buffer(b"\x80\0\0\0" + bytes(200))
    return call(HANDLE, -100, path.encode(), room, ctypes.byref(ctypes.c_int()), 0)


WAYS = {
    "open": lambda path: os.open(path, os.O_RDONLY),
    "path": lambda path: os.open(path, os.O_PATH),
    "creat": lambda path: os.open(path, os.O_RDWR | os.O_CREAT, 0o600),
    "stat": lambda path: bool(os.stat(path)),
    "lstat": lambda path: bool(os.lstat(path)),
    "readlink": os.readlink,
    "access": lambda path: call(ACCESS, path.encode(), 0),
    "faccessat2": lambda path: call(FACCESSAT2, -100, path.encode(), 0, 0),
    "chdir": os.chdir,
    "chroot": os.chroot,
    "exec": lambda path: os.execv(path, ["x"]),
    "statfs": lambda path: bool(os.statvfs(path)),
    "list": lambda path: bool(os.listdir(path)),
    "truncate": lambda path: os.truncate(path, 0),
    "handle": handle,
}

for place in [
    "/proc/{}",
    "/proc/{}/root",
    "/proc/{}/root/etc/passwd",
    "/proc/{}/fd/0",
    "/proc/{}/mem",
    "/proc/{}/task/{}/comm",
    "/proc/self/../{}/cwd",
    "/proc/1/../{}/environ",
    "/proc/{}/../version",
    "/proc/self/task/{}",
    "/proc/self/root/proc/{}/comm",
    "/proc/self/cwd/../../../../proc/{}/stat",
    "/proc/0{}",
]:
    for name, way in WAYS.items():
        says(f"{name} {place}", lambda: way(place.replace("{}", str(OUT))))

os.symlink(f"/proc/{OUT}/comm", "link")
says("a link", lambda: os.open("link", os.O_RDONLY))
os.unlink("link")

for file in (
    "comm root fd environ maps status stat ns/user ns/pid exe cwd fd/0 io mem fdinfo/0 auxv "
    "task/1/children cmdline limits oom_score_adj cgroup uid_map mountinfo mounts nothing"
).split():
    says(f"init {file}", lambda: os.open(f"/proc/1/{file}", os.O_RDONLY))
    says(f"init's path {file}", lambda: os.open(f"/proc/1/{file}", os.O_PATH))
    says(f"init's attributes {file}", lambda: bool(os.stat(f"/proc/1/{file}")))

for flags in [os.O_RDONLY | os.O_DIRECTORY, os.O_PATH]:
    process = os.open("/proc/1", flags)
    read = lambda name: os.read(os.open(name, os.O_RDONLY, dir_fd=process), 7)
    says("below a descriptor", lambda: read("comm"))
    says("beside it", lambda: read("../1/stat"))
    says("outside of it", lambda: read(f"../{OUT}/comm"))
    root = os.open("/proc", flags)
    read = lambda name: os.read(os.open(name, os.O_RDONLY, dir_fd=root), 7)
    says("below /proc", lambda: read("1/comm"))
    says("outside below /proc", lambda: read(f"{OUT}/comm"))

listing = os.open("/proc", os.O_RDONLY)
first, second = os.listdir(listing), os.listdir(listing)
print("listed", first == second, str(OUT) in first, "1" in first, os.listdir("/proc/1/task"))
names, places = [], []
room = ctypes.create_string_buffer(64)
os.lseek(listing, 0, os.SEEK_SET)
while got := call(GETDENTS, listing, room, 64):
    names.append(room.raw[18 : room.raw.index(b"\0", 18)].decode())
print("one by one", sorted(names) == sorted([".", "..", *first]))
says("too small", lambda: call(GETDENTS, listing, room, 8) or True)

os.chdir("/proc/1")
print(os.getcwd(), os.path.realpath("task/1"), os.readlink("/proc/self") == str(os.getpid()))
os.chdir("/proc")
says("from /proc", lambda: os.open(f"{OUT}/comm", os.O_RDONLY))
