"""Sends credentials (SCM_CREDENTIALS) that are the sender's own, somebody else's, nobody's.

What a receiver is told is the host's numbers, so only what can be done with them is printed. Whose
capabilities let it say it is another must not ask for "another" under anyns.
"""
import ctypes, os, signal, socket, struct, sys, threading

UCRED = struct.Struct("iII")
me, out = os.getpid(), int(os.environ["OUT"])


def creds(pid, uid, gid):
    data = UCRED.pack(pid, uid & 0xFFFFFFFF, gid & 0xFFFFFFFF)
    return (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, data)


def own():
    return creds(me, os.geteuid(), os.getegid())


def attempt(label, control, kind=socket.SOCK_STREAM):
    one, two = socket.socketpair(socket.AF_UNIX, kind)
    two.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        print(label, one.sendmsg([b"ab", b"c"], control), end=" ")
    except OSError as error:
        return print(label, error.strerror)
    text, control, _, _ = two.recvmsg(9, 999)
    for level, what, data in control:
        if what == socket.SCM_CREDENTIALS:
            os.kill(UCRED.unpack(data)[0], 0)
        print(what, len(data), end=" ")
    print(text)


def numbers(also):
    uid, gid = os.geteuid(), os.getegid()
    several = {"1": 1, "parent": os.getppid(), "group": -os.getpgrp(), "another": os.getppid() or 2}
    several.update({"nobody": 4194305, "0": 0, "-1": -1, "outside": out})
    attempt("own", [own()])
    for label in also:
        attempt(label, [creds(several[label], uid, gid)])


def ids():
    uid, gid = os.geteuid(), os.getegid()
    for uid, gid in (0, gid), (uid, 0), (1000, gid), (uid, 1000), (7, 8), (uid, 9), (65534, gid), (-1, gid):
        attempt("ids %d %d" % (uid, gid), [creds(me, uid, gid)])
    attempt("nobody, unmapped", [creds(4194305, 9, 9)])


def sorts():
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 1))
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET:
        attempt(kind.name, [own()], kind)
        attempt("with a descriptor", [rights, own()], kind)
        attempt("before one", [own(), rights], kind)
        attempt("twice", [own(), own()], kind)
    level, what, data = own()
    attempt("too short", [(level, what, data[:8])])
    attempt("too long", [(level, what, data + data)])
    attempt("one good, one bad", [own(), creds(me, 9, 9)])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    for control in own(), creds(4194305, 9, 9):
        try:
            print("udp", udp.sendmsg([b"x"], [control], 0, udp.getsockname()))
        except OSError as error:
            print("udp", error.strerror)
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    for control in own(), creds(me, 9, 9):
        try:
            print("netlink", netlink.sendmsg([struct.pack("IHHII", 16, 1, 0, 0, 0)], [control]))
        except OSError as error:
            print("netlink", error.strerror)
    try:
        os.dup2(os.open("/dev/null", 0), 99)
        socket.socket(fileno=99)
    except OSError as error:
        print("no socket", error.strerror)


class Header(ctypes.Structure):
    word = ctypes.c_void_p
    _fields_ = [("name", word), ("namelen", ctypes.c_uint), ("iov", word), ("count", ctypes.c_size_t)]
    _fields_ += [("control", word), ("len", ctypes.c_size_t), ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]


class Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p)]
    _fields_ += [("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    _fields_ += [("flags", ctypes.c_int), ("pad", ctypes.c_int), ("sent", ctypes.c_uint), ("end", ctypes.c_uint)]


def many():
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    for label, several in {
        "three": [own()] * 3,
        "none, one": [None, own()],
        "one, none": [own(), None],
        "the second refused": [own(), creds(me, 9, 9), own()],
        "the first refused": [creds(me, 9, 9), own()],
        "none": [None, None],
    }.items():
        entries, kept = (Entry * len(several))(), []
        for index, (entry, control) in enumerate(zip(entries, several)):
            text = ctypes.create_string_buffer(b"x" * (index + 1), index + 1)
            iov = (ctypes.c_size_t * 2)(ctypes.addressof(text), index + 1)
            kept += [text, iov]
            entry.iov, entry.count = ctypes.addressof(iov), 1
            if control:
                level, what, data = control
                data = struct.pack("qii", 16 + len(data), level, what) + data
                data = ctypes.create_string_buffer(data, 32)
                kept.append(data)
                entry.control, entry.len = ctypes.addressof(data), 32
        one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        done = libc.sendmmsg(one.fileno(), entries, len(several), 0)
        print(label, done, os.strerror(ctypes.get_errno()) if done < 0 else "", [e.sent for e in entries])
        one.close()
        got = []
        while text := two.recv(9):
            got.append(text)
        print(got)


def waits():
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 4096)
    except BlockingIOError:
        pass
    try:
        one.sendmsg([b"y"], [own()])
    except BlockingIOError as error:
        print(error.strerror)
    one.setblocking(True)
    signal.signal(signal.SIGALRM, lambda *_: print("a signal", flush=True))
    signal.setitimer(signal.ITIMER_REAL, 0.2)

    def drain():
        total = 0
        while text := two.recv(1 << 20):
            total += len(text)
        print("drained", text)

    timer = threading.Timer(0.5, drain)
    timer.start()
    print(one.sendmsg([b"y"], [own()]))
    one.close()
    timer.join()


def thread():
    def send():
        attempt("of a thread", [own()])
        attempt("the thread's", [creds(threading.get_native_id(), os.geteuid(), os.getegid())])

    other = threading.Thread(target=send)
    other.start()
    other.join()


what = sys.argv[1]
if what == "numbers":
    numbers(sys.argv[2:])
else:
    {"ids": ids, "sorts": sorts, "many": many, "waits": waits, "thread": thread}[what]()
