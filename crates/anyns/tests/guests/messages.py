"""Sends messages of every kind in a mount namespace, alone and beside another thread.

usage: messages.py, in a directory of its own that something is mounted on
"""

import array
import ctypes
import errno
import os
import signal
import socket
import struct
import threading

libc = ctypes.CDLL(None, use_errno=True)
SO = socket.SOL_SOCKET


def say(name, what):
    try:
        result = what()
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(name, "=", result, flush=True)


def rights(*fds):
    return (SO, socket.SCM_RIGHTS, array.array("i", fds))


def received(sock, room=1000):
    """What came: bytes, texts of files, and whether credentials are a process's."""
    data, control, flags, _ = sock.recvmsg(room, 4000)
    parts = []
    for level, kind, content in control:
        if kind == socket.SCM_RIGHTS:
            for fd, in struct.iter_unpack("i", content[: len(content) // 4 * 4]):
                parts.append(os.pread(fd, 100, 0))
                os.close(fd)
        else:
            parts.append([kind, struct.unpack("3i", content)[0] > 0])
    return data, parts, flags & ~socket.MSG_CMSG_CLOEXEC


def file(text):
    fd = os.memfd_create("file")
    os.write(fd, text)
    return fd


def several(sock, count, *controls):
    """sendmmsg(2) of numbered messages, those in `controls` with a number for a descriptor."""
    entries = (ctypes.c_uint64 * (8 * count))()
    keep = []
    for index in range(count):
        data = ctypes.create_string_buffer(b"%d" % index, 1)
        segment = (ctypes.c_uint64 * 2)(ctypes.addressof(data), 1)
        entries[8 * index + 2 : 8 * index + 4] = [ctypes.addressof(segment), 1]
        if index < len(controls):
            part = struct.pack("Qiiii", 20, SO, socket.SCM_RIGHTS, controls[index], 0)
            control = ctypes.create_string_buffer(part, 24)
            entries[8 * index + 4 : 8 * index + 6] = [ctypes.addressof(control), 24]
            keep.append(control)
        keep += [data, segment]
    done = libc.sendmmsg(sock.fileno(), entries, count, 0)
    return done if done >= 0 else errno.errorcode[ctypes.get_errno()], list(entries[7::8])


def all_of_it():
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind("server")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one, two = file(b"one"), file(b"two")
    say("to a path", lambda: client.sendmsg([b"a", b"", b"bc"], [], 0, "server"))
    say("came", lambda: received(server))
    say("with files", lambda: client.sendmsg([b"x"], [rights(one), rights(two, one)], 0, "server"))
    say("came", lambda: received(server))
    say("to nobody", lambda: client.sendmsg([b"x"]))
    say("nothing there", lambda: client.sendmsg([b"x"], [], 0, "nothing"))
    say("no socket", lambda: client.sendmsg([b"x"], [], 0, "/etc/passwd"))
    say("no descriptor", lambda: client.sendmsg([b"x"], [rights(one, 999)], 0, "server"))
    say("too many", lambda: client.sendmsg([b"x"], [rights(*[one] * 254)], 0, "server"))
    say("many", lambda: client.sendmsg([b"x"], [rights(*[one] * 253)], 0, "server"))
    say("came", lambda: len(received(server)[1]))
    say("unknown", lambda: client.sendmsg([b"x"], [(SO, 99, b"1234")], 0, "server"))
    say("another level", lambda: client.sendmsg([b"x"], [(99, 1, b"1234")], 0, "server"))
    say("came", lambda: received(server))
    say("too long", lambda: client.sendmsg([bytes(3 << 20)], [], 0, "server"))
    say("not there", lambda: libc.sendmsg(client.fileno(), 8, 0))
    client.connect("server")
    say("connected", lambda: client.sendmsg([b"abc"]))
    say("came", lambda: received(server))
    say("with a file", lambda: client.sendmsg([b"abc"], [rights(two)]))
    say("came", lambda: received(server))
    say("three", lambda: several(client, 3, one, two))
    for _ in range(3):
        say("came", lambda: received(server))
    say("the third not", lambda: several(client, 4, one, two, 999))
    for _ in range(2):
        say("came", lambda: received(server))
    say("the first not", lambda: several(client, 2, 999))
    server.setsockopt(SO, socket.SO_PASSCRED, 1)
    mine = (SO, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))
    say("as itself", lambda: client.sendmsg([b"i"], [mine]))
    say("came", lambda: received(server))
    other = (SO, socket.SCM_CREDENTIALS, struct.pack("3i", 1 << 22, 0, 0))
    say("as nobody", lambda: client.sendmsg([b"i"], [other]))
    client.setblocking(False)
    server.setsockopt(SO, socket.SO_PASSCRED, 0)
    count = 0
    try:
        while True:
            client.sendmsg([b"x" * 100])
            count += 1
    except BlockingIOError:
        print("full after", count)
    client.setblocking(True)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    say("no room until a signal comes", lambda: client.sendmsg([b"x"]))
    client.settimeout(None)
    client.setsockopt(SO, socket.SO_SNDTIMEO, struct.pack("qq", 0, 200000))
    say("nor in time", lambda: client.sendmsg([b"x"]))
    server.close()
    say("refused", lambda: client.sendmsg([b"x"]))
    os.unlink("server")

    one_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        one_end.close()
        text = bytearray()
        while piece := other_end.recv(1 << 16):
            text += piece
        os._exit(text != bytes(range(256)) * 20000)
    other_end.close()
    text = memoryview(bytes(range(256)) * 20000)
    say("long", lambda: one_end.sendmsg([text[:7], text[7:3000001], text[3000001:]]))
    one_end.close()
    say("read", lambda: os.waitpid(pid, 0)[1])
    one_end, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    say("with a file", lambda: one_end.sendmsg([b"x", b"y"], [rights(one)]))
    say("came", lambda: received(other_end))
    other_end.close()
    signals.clear()
    say("nobody reads", lambda: one_end.sendmsg([b"x"]))
    say("signals", lambda: signals)
    say("no signal", lambda: one_end.sendmsg([b"x"], [], socket.MSG_NOSIGNAL))
    say("signals", lambda: signals)

    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    say("udp", lambda: udp.sendmsg([b"u", b"dp"], [], 0, udp.getsockname()))
    say("came", lambda: udp.recv(100))
    say("udp", lambda: udp.sendto(b"udp", udp.getsockname()))
    say("came", lambda: udp.recv(100))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    tcp = socket.socket()
    say("tcp", lambda: tcp.connect(listener.getsockname()))
    say("another family", lambda: libc.connect(tcp.fileno(), b"\1\0server\0", 9))
    accepted, _ = listener.accept()
    say("sent", lambda: tcp.sendmsg([b"t", b"cp"]))
    say("came", lambda: accepted.recv(100))


def alarm(number, frame):
    raise InterruptedError(errno.EINTR, "")


signal.signal(signal.SIGALRM, alarm)
signals = []
signal.signal(signal.SIGPIPE, lambda number, frame: signals.append(number))
all_of_it()
print("and beside a thread")
over = threading.Event()
# It takes no signal: one that is the process's it takes where the sender stands traced in its call.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
threading.Thread(target=over.wait).start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
all_of_it()
over.set()
