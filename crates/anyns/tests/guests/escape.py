"""Tries to reach what a mount hides, by every way, and says what each attempt came to.

In a mount namespace of its own: `hidden` is covered by a tmpfs, `jail` shows `open` alone.

usage: escape.py SECONDS
"""

import ctypes
import errno
import os
import socket
import sys
import threading
import time

SECONDS = float(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
HOME = os.getcwd()
SECRET = b"a secret"
BIND, REC, DETACH = 4096, 16384, 2
AT_FDCWD = -100


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def mount(source, target, kind, flags):
    encode = lambda text: None if text is None else text.encode()
    check(libc.mount(encode(source), encode(target), encode(kind), flags, None))


def attempt(name, what):
    try:
        result = what()
    except OSError as error:
        result = errno.errorcode.get(error.errno, error.errno)
    if isinstance(result, bytes) and SECRET in result:
        result = "LEAK"
    print(name, "=", result)


def read(path, **words):
    fd = os.open(path, os.O_RDONLY, **words)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


for name in ["hidden/deep", "open/a/b", "open/c", "jail", "new/old", "moved"]:
    os.makedirs(name)
for name in ["hidden/secret", "hidden/deep/secret", "secret"]:
    with open(name, "wb") as file:
        file.write(SECRET)
with open("open/a/b/file", "w") as file:
    file.write("plain")
listener = socket.socket(socket.AF_UNIX)
listener.bind("hidden/socket")
listener.listen()
listener.setblocking(False)
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagrams.bind("hidden/datagrams")
datagrams.setblocking(False)
os.symlink(f"{HOME}/hidden/secret", "open/absolute")
os.symlink("../../hidden/secret", "open/c/relative")
os.mkfifo("hidden/fifo")

mount("t", f"{HOME}/hidden", "tmpfs", 0)
mount(f"{HOME}/open", f"{HOME}/jail", None, BIND)

# What is covered.
attempt("plain", lambda: read("hidden/secret"))
attempt("absolute", lambda: read("open/absolute"))
attempt("relative", lambda: read("open/c/relative"))
attempt("through the bind", lambda: read("jail/absolute"))
attempt("dots", lambda: read("hidden/../hidden/./deep/../secret"))
attempt("own root", lambda: read(f"/proc/self/root{HOME}/hidden/secret"))
attempt("own directory", lambda: read("/proc/self/cwd/hidden/secret"))
attempt("thread's", lambda: read("/proc/thread-self/cwd/hidden/secret"))
attempt("link", lambda: os.link("hidden/secret", "taken"))
attempt("rename", lambda: os.rename("hidden/secret", "taken"))
attempt("rename a mount point", lambda: os.rename("hidden", "taken"))
attempt("rename onto one", lambda: os.rename("moved", "hidden"))
attempt("rmdir a mount point", lambda: os.rmdir("hidden"))
attempt("exchange", lambda: check(libc.renameat2(AT_FDCWD, b"moved", AT_FDCWD, b"hidden", 2)))
attempt("truncate", lambda: os.truncate("hidden/secret", 0))
attempt("chmod", lambda: os.chmod("hidden/secret", 0o777))
attempt("xattr", lambda: os.getxattr("hidden/secret", "user.x"))
attempt("watch", lambda: check(libc.inotify_add_watch(libc.inotify_init(), b"hidden/secret", 2)))
attempt("statfs", lambda: os.statvfs("hidden/secret"))
attempt("connect", lambda: socket.socket(socket.AF_UNIX).connect("hidden/socket"))
attempt("send", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "hidden/socket"))
attempt("fifo", lambda: os.open("hidden/fifo", os.O_RDWR))
attempt("list", lambda: os.listdir("hidden"))
attempt("bind it", lambda: mount(f"{HOME}/hidden/deep", f"{HOME}/moved", None, BIND))
attempt("execute", lambda: os.execv("hidden/secret", ["x"]))

# Handles of files go round every mount.
handle = ctypes.create_string_buffer(136)
ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
number = ctypes.c_int()
attempt(
    "open by handle",
    lambda: check(libc.open_by_handle_at(AT_FDCWD, handle, 0)),
)

# Directories that are moved away from under a bind have no way up.
inner = os.open("jail/a/b", os.O_RDONLY | os.O_DIRECTORY)
os.rename("open/a/b", "moved/b")
attempt("moved", lambda: read("../../secret", dir_fd=inner))
attempt("moved, up", lambda: os.listdir(os.open("..", os.O_RDONLY, dir_fd=inner)))
attempt("moved, by link", lambda: read(f"/proc/self/fd/{inner}/../../secret"))
attempt("moved, itself", lambda: read("file", dir_fd=inner))
os.rename("moved/b", "open/a/b")


def racing(name, one, other):
    """Counts secrets that `other` reads while `one` goes on."""
    leaks, tries, over = 0, 0, time.monotonic() + SECONDS
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            try:
                one()
            except OSError:
                pass

    threads = [threading.Thread(target=disturb) for _ in range(2)]
    for thread in threads:
        thread.start()
    while time.monotonic() < over:
        tries += 1
        try:
            leaks += SECRET in other()
        except OSError:
            pass
    stop.set()
    for thread in threads:
        thread.join()
    print(name, "leaks", leaks, "" if tries else "never tried")


def swap_link():
    os.symlink(f"{HOME}/open/a/b/file", "open/swap.new")
    os.rename("open/swap.new", "open/swap")
    os.symlink(f"{HOME}/hidden/secret", "open/swap.new")
    os.rename("open/swap.new", "open/swap")


def swap_directory():
    os.rename("open/a/b", "moved/b")
    os.rename("moved/b", "open/a/b")


racing("links swapped", swap_link, lambda: read("jail/swap"))
racing("directories moved", swap_directory, lambda: read("../../secret", dir_fd=inner))
racing("directories moved, longer", swap_directory, lambda: read("jail/a/b/../../secret"))

# A path that another thread writes over while it is looked up.
good, bad = b"open/a/b/file\0", b"hidden/secret\0"
text = ctypes.create_string_buffer(64)


def write_over():
    ctypes.memmove(text, good, len(good))
    ctypes.memmove(text, bad, len(bad))


def open_text():
    fd = check(libc.open(text, os.O_RDONLY))
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


racing("paths overwritten", write_over, open_text)


def change_directory():
    check(libc.chdir(text))
    return b""


good, bad = b"open/a/b\0", b"hidden\0"
racing("working directory", write_over, change_directory)
os.chdir(HOME)

# Addresses that another thread writes over, and sockets that it exchanges. What is sent is the secret.
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("datagrams")
plain, any_sort = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
internet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
secret = ctypes.create_string_buffer(SECRET, len(SECRET))
segment = (ctypes.c_uint64 * 2)(ctypes.addressof(secret), len(SECRET))


def address_of(path):
    return socket.AF_UNIX.to_bytes(2, "little") + path + b"\0"


hidden = ctypes.create_string_buffer(address_of(b"hidden/datagrams"))
shown = address_of(b"datagrams")
harmless = socket.AF_INET.to_bytes(2, "little") + bytes([0, 9, 127, 0, 0, 1]) + bytes(8)
name = ctypes.create_string_buffer(64)
message = (ctypes.c_uint64 * 7)(0, 0, ctypes.addressof(segment), 1, 0, 0, 0)


def reached():
    """What has come to where nobody can send."""
    receiver.setblocking(False)
    for _ in range(2):
        try:
            receiver.recv(100)
        except OSError:
            pass
    try:
        return datagrams.recv(100)
    except OSError:
        return b""


def address_and_none():
    message[0], message[1] = 0, 0
    message[1], message[0] = len(hidden), ctypes.addressof(hidden)


def two_addresses():
    ctypes.memmove(name, shown, len(shown))
    ctypes.memmove(name, hidden, len(hidden))


def other_socket():
    os.dup2(plain.fileno(), spare)
    os.dup2(datagram.fileno(), spare)


def send(fd):
    check(libc.sendmsg(fd, message, socket.MSG_DONTWAIT))
    return reached()


def send_to():
    libc.sendto(spare, secret, len(SECRET), socket.MSG_DONTWAIT, hidden, len(hidden))
    any_sort.setblocking(False)
    try:
        any_sort.recv(1 << 16)
    except OSError:
        pass
    return reached()


datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagram.connect("datagrams")
racing("an address or none", address_and_none, lambda: send(datagram.fileno()))
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
message[0], message[1] = ctypes.addressof(name), len(hidden)
racing("two addresses", two_addresses, lambda: send(datagram.fileno()))
spare = os.dup(plain.fileno())
racing("sockets exchanged", other_socket, send_to)


def other_address():
    os.dup2(internet.fileno(), spare)
    ctypes.memmove(name, harmless, len(harmless))
    os.dup2(stream.fileno(), spare)
    ctypes.memmove(name, stream_address, len(stream_address))


def connect():
    global stream
    libc.connect(spare, name, 32)
    try:
        listener.accept()
        return SECRET
    except OSError:
        return b""


stream = socket.socket(socket.AF_UNIX)
stream_address = address_of(b"hidden/socket")
racing("sockets and addresses exchanged", other_address, connect)

# A root directory of its own; descriptors of before are of before.
before = os.open("open/a/b", os.O_RDONLY | os.O_DIRECTORY)
mount(f"{HOME}/open", f"{HOME}/new", None, BIND)
os.mkdir("new/old")
os.chdir("new")
check(libc.syscall(155, b".", b"old"))
os.chdir("/")
attempt("old root", lambda: sorted(set(os.listdir("/old")) & {"etc", "usr"}))
check(libc.umount2(b"/old", DETACH))
attempt("new root", lambda: sorted(os.listdir("/")))
attempt("above the root", lambda: sorted(os.listdir("/../..")))
attempt("host", lambda: read("/etc/passwd"))
attempt("secret", lambda: read(f"{HOME}/secret"))
attempt("from before", lambda: read("../../../secret", dir_fd=before) == SECRET)
attempt("working directory", os.getcwd)
os.fchdir(before)
attempt("from before, shown", os.getcwd)
attempt("relative", lambda: read("file"))
