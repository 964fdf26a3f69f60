"""Who may look into a program that is not dumpable (prctl(2), PR_SET_DUMPABLE): its `/proc`, its memory,
its descriptors."""
import ctypes, errno, os, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ROBUST, READV, WRITEV, KCMP, GETFD = 274, 310, 311, 312, 438
SEIZE, SET_DUMPABLE = 0x4206, 4


def said(result):
    return "may" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def call(*args):
    """A system call, with arguments of full width."""
    return libc.syscall(*(ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args))


def tried(what, *args):
    try:
        what(*args)
        return "may"
    except OSError as error:
        return errno.errorcode[error.errno]


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def child(dumpable, then=lambda: None):
    """A process that waits, which is dumpable or not."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(SET_DUMPABLE, dumpable, 0, 0, 0)
        then()
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    os.close(ready), os.close(tell)
    return pid


def look(what, pid, trace=True):
    proc = f"/proc/{pid}"
    print(what, *(f"{name} {tried(read, f'{proc}/{name}')}" for name in ("environ", "maps", "auxv", "syscall", "status", "stat", "cmdline")))
    print(what, "mem", tried(lambda: os.close(os.open(f"{proc}/mem", os.O_RDONLY))))
    print(what, *(f"{name} {tried(os.readlink, f'{proc}/{name}')}" for name in ("exe", "cwd", "root", "fd/0", "ns/uts")))
    print(what, "through", tried(read, f"{proc}/root/etc/passwd"), tried(read, f"{proc}/cwd/."), tried(os.stat, f"{proc}/fd/0"))
    at = os.open(proc, os.O_RDONLY)
    print(what, "below", tried(lambda: os.close(os.open("environ", os.O_RDONLY, dir_fd=at))), tried(lambda: os.readlink("cwd", dir_fd=at)))
    os.close(at)
    pidfd = os.pidfd_open(pid)
    bytes_ = ctypes.create_string_buffer(16)
    piece = (ctypes.c_uint64 * 2)(ctypes.addressof(bytes_), 8)
    calls = {
        "getfd": lambda: call(GETFD, pidfd, 1, 0),
        "readv": lambda: call(READV, pid, piece, 1, piece, 1, 0),
        "writev": lambda: call(WRITEV, pid, piece, 1, piece, 1, 0),
        "kcmp": lambda: call(KCMP, os.getpid(), pid, 0, 0, 0),
        "list": lambda: call(ROBUST, pid, piece, bytes_),
    }
    if trace:
        calls["seize"] = lambda: libc.ptrace(SEIZE, pid, None, None)
    print(what, *(f"{name} {said(made())}" for name, made in calls.items()), flush=True)
    os.close(pidfd)


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


opened, closed = child(1), child(0)
look("open", opened, trace=False)
look("closed", closed)
# What it makes is closed, too; another program is not.
ready, tell = os.pipe()
parent = child(0, lambda: os.write(tell, f"{child(1, lambda: libc.prctl(SET_DUMPABLE, 0, 0, 0, 0))} ".encode()))
grandchild = int(os.read(ready, 20))
look("made", grandchild)
for pid in closed, parent, grandchild:
    os.kill(pid, signal.SIGKILL)
os.waitpid(closed, 0), os.waitpid(parent, 0)
other = os.fork()
if other == 0:
    libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)
    os.execv("/bin/sleep", ["sleep", "1000"])
while os.readlink(f"/proc/{opened}/exe") == tried(os.readlink, f"/proc/{other}/exe") or open(f"/proc/{other}/comm").read() != "sleep\n":
    pass
look("executed", other, trace=False)
look("open", opened, trace=False)
end(other), end(opened)
