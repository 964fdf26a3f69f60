"""A program that forks, starts threads and changes namespaces in some of them."""

import ctypes
import os
import socket
import subprocess
import sys
import threading

NEWUSER, NEWUTS = 0x10000000, 0x04000000
libc = ctypes.CDLL(None, use_errno=True)
out = []


def say(*words, end="\n"):
    print(*words, end=end, flush=True)


def check(name, result):
    error = ctypes.get_errno()
    say(name, "0" if result == 0 else os.strerror(error))


def sethostname(name):
    return libc.sethostname(name.encode(), len(name))


def in_child(body):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.write(writer, body().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


def in_thread(body):
    result = []
    thread = threading.Thread(target=lambda: result.append(body()))
    thread.start()
    thread.join()
    return result[0]


def ids():
    return f"{os.getresuid()} {os.getresgid()} {os.getgroups()} {os.uname().nodename}"


say("before", ids())
say("in a child", in_child(ids))
check("unshare(NEWUTS) without privilege:", libc.unshare(NEWUTS))
say("unshare(NEWUSER) beside a thread:", end=" ")
go, done = threading.Event(), threading.Event()
waiter = threading.Thread(target=lambda: (go.set(), done.wait()))
waiter.start()
go.wait()
check("", libc.unshare(NEWUSER))
done.set()
waiter.join()
while len(os.listdir("/proc/self/task")) > 1:  # the last of a thread goes after its join
    pass
uid, gid = os.getuid(), os.getgid()
check("unshare(NEWUSER|NEWUTS):", libc.unshare(NEWUSER | NEWUTS))
say("unmapped", ids())
for name, text in [("gid_map", f"0 {gid} 1"), ("setgroups", "deny"), ("gid_map", f"0 {gid} 1"),
                   ("uid_map", f"0 {uid} 2"), ("uid_map", f"0 {uid} 1"), ("uid_map", f"0 {uid} 1"),
                   ("setgroups", "allow")]:
    try:
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
        say(name, repr(text), "written")
    except OSError as error:
        say(name, repr(text), error.strerror)
say("mapped", ids())
check("sethostname:", sethostname("inner"))
say("here", socket.gethostname(), "in a child", in_child(socket.gethostname))
say("in a program", subprocess.check_output(["uname", "-n"], text=True).strip())


def threads_of_their_own():
    """Each thread gets a uts namespace and a name; nobody sees another's."""
    barrier = threading.Barrier(8)
    seen = [None] * 8

    def body(i):
        barrier.wait()
        assert libc.unshare(NEWUTS) == 0
        assert sethostname(f"thread{i}") == 0
        barrier.wait()
        child = in_child(lambda: os.uname().nodename)
        program = subprocess.check_output(["hostname"], text=True).strip()
        seen[i] = f"{os.uname().nodename}/{child}/{program}"

    threads = [threading.Thread(target=body, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


say("threads", threads_of_their_own())
say("main thread", os.uname().nodename)
say("setresuid to an unmapped id:", end=" ")
try:
    os.setresuid(7, 7, 7)
    say("done")
except OSError as error:
    say(error.strerror)
with open("file", "w"):
    pass
status = os.stat("file")
say("file", status.st_uid, status.st_gid, "etc", os.stat("/etc").st_uid)
for owner in [(0, 0), (1, 1), (uid, gid)]:
    try:
        os.chown("file", *owner)
        say("chown", owner == (0, 0), "done")
    except OSError as error:
        say("chown", owner == (0, 0), error.strerror)


def nested():
    assert libc.unshare(NEWUSER) == 0
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write("5 0 1")
    open("/proc/self/gid_map", "w").write("6 0 1")
    return ids() + open("/proc/self/uid_map").read()


say("nested", in_child(nested))
say("and back", ids(), in_thread(lambda: os.getuid()))
handle = os.open("/proc/self/ns/uts", os.O_RDONLY)
say("setns to the present:", end=" ")
check("", libc.setns(handle, 0))
say("setns of the wrong type:", end=" ")
check("", libc.setns(handle, NEWUSER))
say("setns on a pipe:", end=" ")
check("", libc.setns(os.pipe()[0], 0))
sys.exit(33)
