"""Who a signal says it is from: by kill and tgkill, to itself, from a child, from a grandchild's
namespace, to one that handles it, and to one that waits for it."""

import ctypes
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
KILL, TGKILL = 62, 234
USR1 = signal.SIGUSR1


def wait():
    info = signal.sigtimedwait([USR1], 5)
    return (info.si_pid, info.si_uid) if info else None


def role(pid, child):
    return {0: "nobody", 1: "init", child: "child"}.get(pid, "another")


signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
os.kill(1, USR1)
print("itself", role(wait()[0], -1))
os.kill(os.getpid(), USR1)
print("itself", role(wait()[0], -1))

child = os.fork()
if not child:
    os.kill(1, USR1)
    os._exit(0)
print("child", role(wait()[0], child))
os.waitpid(child, 0)

r, w = os.pipe()
child = os.fork()
if not child:
    os.write(w, b"x")
    print("init to child", role(wait()[0], -1))
    os._exit(0)
os.read(r, 1)
os.kill(child, USR1)
os.waitpid(child, 0)

# From outside: an init below hears of its parent as nobody.
NEWPID = 0x20000000
if libc.unshare(NEWPID) != 0:
    raise OSError(ctypes.get_errno())
child = os.fork()
if not child:
    os.write(w, b"x")
    print("outside", role(wait()[0], -1), os.getpid())
    os._exit(0)
os.read(r, 1)
os.kill(child, USR1)
os.waitpid(child, 0)
