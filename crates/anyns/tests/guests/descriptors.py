"""What descriptors of namespaces, and of a process that has them, can do.

The argument is the number of a process in user, pid and mount namespaces of its own.
"""

import ctypes
import errno
import os
import signal
import socket
import sys
import time

PROCESS = int(sys.argv[1])
IOCTL, SETNS = 16, 308
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """Makes a system call and says what came of it."""
    result = libc.syscall(number, *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def kind(result):
    """A descriptor, or an error."""
    return "fd" if isinstance(result, int) else result


pidfd = os.pidfd_open(PROCESS)
print("by pidfd", [kind(call(IOCTL, pidfd, 0xFF01 + n, 0)) for n in range(10)])
print("with an argument", call(IOCTL, pidfd, 0xFF05, 7))
links = ["user", "pid", "mnt"]
by_link = [os.open(f"/proc/{PROCESS}/ns/{link}", os.O_RDONLY) for link in links]
by_pidfd = [call(IOCTL, pidfd, 0xFF01 + n, 0) for n in (8, 4, 2)]
inode = lambda fd: os.fstat(fd).st_ino
print("the same", [inode(a) == inode(b) for a, b in zip(by_link, by_pidfd)])
print("one device", len({os.fstat(fd).st_dev for fd in by_link}), "stable", inode(by_link[0]) == os.stat(f"/proc/{PROCESS}/ns/user").st_ino)
here, there = socket.socketpair()
socket.send_fds(here, [b"x"], by_link)
for fd in by_link + by_pidfd:
    os.close(fd)
os.kill(PROCESS, signal.SIGKILL)
# Its parent waits for it, outside.
while os.path.exists(f"/proc/{PROCESS}"):
    time.sleep(0.01)
_, fds, _, _ = socket.recv_fds(there, 1, 3)
print("types", [call(IOCTL, fd, 0xB703) for fd in fds])
print("owners", [kind(call(IOCTL, fd, 0xB701)) for fd in fds])
print("parents", [kind(call(IOCTL, fd, 0xB702)) for fd in fds])
uid = ctypes.c_uint()
print("uids", [call(IOCTL, fd, 0xB704, ctypes.byref(uid)) for fd in fds], uid.value == os.getuid())
print("nobody is there", call(IOCTL, fds[1], 0x8004B706, 1))
print("joined", [call(SETNS, fd, 0) for fd in (fds[0], fds[2], fds[1])], os.getcwd())
try:
    os.fork()
except OSError as error:
    print("born", errno.errorcode[error.errno])
print("by a dead pidfd", call(SETNS, pidfd, 0x10000000), call(SETNS, pidfd, 0))
for request in (0xB705, 0xB7FF, 0x8004B7FF):
    print(hex(request), call(IOCTL, fds[0], request, 0))
