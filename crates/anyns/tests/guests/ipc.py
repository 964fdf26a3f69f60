"""POSIX queues through descriptors, attached segments, threads that share their undos."""

import ctypes
import os
import select
import signal
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)


class Attr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in "flags maxmsg msgsize curmsgs".split()] + [
        ("more", ctypes.c_long * 4)
    ]


def call(name, *args):
    result = getattr(libc, name)(*args)
    return result if result != -1 else os.strerror(ctypes.get_errno())


def mq_open(name, flags, mode=0o600, attr=None):
    return call("mq_open", name, flags, mode, ctypes.byref(attr) if attr else None)


RDWR, CREAT, EXCL, NONBLOCK = os.O_RDWR, os.O_CREAT, os.O_EXCL, os.O_NONBLOCK


def queues():
    queue = mq_open(b"/one", RDWR | CREAT | EXCL, 0o600, Attr(0, 2, 16))
    print("made", isinstance(queue, int), "again", mq_open(b"/one", RDWR | CREAT | EXCL))
    other = mq_open(b"/one", os.O_RDONLY | NONBLOCK)
    buffer = ctypes.create_string_buffer(16)
    priority = ctypes.c_uint()

    def receive(fd):
        size = call("mq_receive", fd, buffer, 16, ctypes.byref(priority))
        return (buffer.raw[:size], priority.value) if isinstance(size, int) else size

    print("empty", receive(other))
    print("send", call("mq_send", queue, b"low", 3, 1), call("mq_send", queue, b"high", 4, 9))
    full = mq_open(b"/one", os.O_WRONLY | NONBLOCK)
    print("full", call("mq_send", full, b"x", 1, 1), "only reads", call("mq_send", other, b"x", 1, 1))
    print("received", receive(other), receive(queue))
    attr = Attr()
    call("mq_getattr", other, ctypes.byref(attr))
    print("attributes", attr.flags == NONBLOCK, attr.maxmsg, attr.msgsize, attr.curmsgs)
    poll = select.poll()
    poll.register(queue, select.POLLIN)
    print("nothing", poll.poll(0))
    child = os.fork()
    if child == 0:
        time.sleep(0.1)
        mine = mq_open(b"/one", os.O_WRONLY)
        call("mq_send", mine, b"from the child", 14, 0)
        os._exit(0)
    print("polled", len(poll.poll(5000)), receive(queue))
    os.waitpid(child, 0)
    print("unlink", call("mq_unlink", b"/one"), call("mq_unlink", b"/one"))
    print("gone", mq_open(b"/one", RDWR), "but", call("mq_send", queue, b"still", 5, 0), receive(other))
    for fd in (queue, other, full):
        os.close(fd)
    # Closed queues leave room for others.
    limit = None
    for count in range(400):
        made = mq_open(b"/two", RDWR | CREAT, 0o600, Attr(0, 10, 8192))
        if not isinstance(made, int):
            limit = (count, made)
            break
        call("mq_unlink", b"/two")
        os.close(made)
    print("one after the other", limit)
    names = [b"/n%d" % n for n in range(400)]
    opened = [mq_open(name, RDWR | CREAT, 0o600, Attr(0, 1, 128)) for name in names]
    errors = [one for one in opened if not isinstance(one, int)]
    print("many", len(opened) - len(errors), set(errors))
    for name, fd in zip(names, opened):
        if isinstance(fd, int):
            os.close(fd)
            call("mq_unlink", name)


def segments():
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    segment = call("shmget", 0x1234, 3 * 4096, 0o1600)
    address = libc.shmat(segment, None, 0)
    fixed = libc.shmat(segment, ctypes.c_void_p(address & ~0xFFFFFFF | 0x100000), 0)
    print("attached", address not in (None, 2**64 - 1), fixed is not None)
    ctypes.memmove(address, b"shared", 6)
    child = os.fork()
    if child == 0:
        print("child sees", ctypes.string_at(address, 6), flush=True)
        ctypes.memmove(address + 4096, b"back", 4)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent sees", ctypes.string_at(address + 4096, 4))
    read_only = libc.shmat(segment, None, 0o10000)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.memmove(read_only, b"x", 1)
        os._exit(0)
    print("read only", os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGSEGV)
    print("removed", call("shmctl", segment, 0, None), ctypes.string_at(address, 6))
    print("key", call("shmget", 0x1234, 1, 0))
    libc.shmdt(read_only)
    print("detached", libc.shmdt(ctypes.c_void_p(address)))


def undos():
    sem = call("semget", 0, 1, 0o600)
    add = (ctypes.c_short * 3)(0, 5, 0o10000)
    done = []
    thread = threading.Thread(target=lambda: done.append(call("semop", sem, add, 1)))
    thread.start()
    thread.join()
    time.sleep(0.05)
    print("a thread that has ended", done, call("semctl", sem, 0, 12))
    child = os.fork()
    if child == 0:
        threading.Thread(target=lambda: (call("semop", sem, add, 1), time.sleep(9)), daemon=True).start()
        while call("semctl", sem, 0, 12) != 10:
            time.sleep(0.005)
        os._exit(0)
    os.waitpid(child, 0)
    print("a process that has ended", call("semctl", sem, 0, 12))
    # One thread waits, the others go on.
    taken = (ctypes.c_short * 3)(0, -6, 0)
    waits = threading.Thread(target=lambda: print("thread", call("semop", sem, taken, 1), flush=True))
    waits.start()
    while call("semctl", sem, 0, 14) != 1:
        time.sleep(0.005)
    print("waits", call("semctl", sem, 0, 12), flush=True)
    one = (ctypes.c_short * 3)(0, 1, 0)
    call("semop", sem, one, 1)
    waits.join()
    print("left", call("semctl", sem, 0, 12), call("semctl", sem, 0, 0))


queues()
segments()
undos()
