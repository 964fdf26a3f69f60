"""Does what it is told on its standard input, a line a task, and answers each with `done`."""

import ctypes
import os
import random
import signal
import sys
import threading
import time

NEWUSER, NEWUTS, NEWIPC, NEWPID = 0x10000000, 0x04000000, 0x08000000, 0x20000000
libc = ctypes.CDLL(None, use_errno=True)


def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def crowd(count):
    """Many processes at once, all alive until the last has made its calls."""
    ready_in, ready_out = os.pipe()
    go_in, go_out = os.pipe()
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(go_out)
            ok = os.getuid() == uid and os.stat("/etc/passwd").st_size > 0 and os.uname().nodename
            os.write(ready_out, b"y" if ok else b"n")
            os.read(go_in, 1)
            os._exit(0)
        pids.append(pid)
    answers = b""
    while len(answers) < count:
        answers += os.read(ready_in, 4096)
    assert answers == b"y" * count, answers
    os.close(go_out)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    for fd in (ready_in, ready_out, go_in):
        os.close(fd)


def forks(count):
    """Processes one after the other."""
    for i in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(i % 200)
        assert os.waitpid(pid, 0)[1] >> 8 == i % 200


def switches(rounds):
    """64 threads, each in and out of uts namespaces of its own; only for root inside."""
    home = os.open("/proc/self/ns/uts", os.O_RDONLY)
    outer = os.uname().nodename
    wrong = []

    def body(i):
        try:
            for turn in range(rounds):
                must(libc.unshare(NEWUTS))
                name = f"t{i}-{turn}"
                must(libc.sethostname(name.encode(), len(name)))
                assert os.uname().nodename == name
                must(libc.setns(home, NEWUTS))
                assert os.uname().nodename == outer
        except BaseException as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=body, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(home)
    assert not wrong, wrong


def busy():
    """A victim: never far from the middle of a trapped call."""
    calls = [
        os.getuid,
        os.uname,
        lambda: os.stat("/proc/self/ns/user"),
        lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
        lambda: os.readlink("/proc/self/ns/uts"),
        lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        lambda: os.waitpid(os.fork() or os._exit(0), 0),
        lambda: threading.Thread(target=os.getuid).start(),
        lambda: libc.unshare(NEWUTS),
        own_map,
        lambda: os.execv(sys.executable, [sys.executable, __file__, "busy"]),
    ]
    while True:
        random.choice(calls)()


def own_map():
    """The writes of these files are stopped and judged one by one."""
    if os.fork() == 0:
        try:
            must(libc.unshare(NEWUSER))
            for name, text in [("setgroups", "deny"), ("uid_map", f"0 {uid} 1")]:
                with open("/proc/self/" + name, "w") as file:
                    file.write(text)
            os.getresuid()
        finally:
            os._exit(0)
    os.wait()


def kills(count):
    """Guests killed at any moment, four at a time."""
    living = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            devnull = os.open("/dev/null", os.O_WRONLY)
            os.dup2(devnull, 2)
            try:
                busy()
            finally:
                os._exit(0)
        try:
            os.setpgid(pid, pid)  # whoever is first: it must have a group before it is killed
        except OSError:
            pass  # it was first, and has executed a program since
        living.append(pid)
        time.sleep(random.random() * 0.02)
        if len(living) >= 4:
            kill(living.pop(0))
    for pid in living:
        kill(pid)


def objects(count):
    """Ipc namespaces that end with all that is in them, and callers that wait when they are killed."""
    libc.shmat.restype = ctypes.c_void_p
    take = (ctypes.c_short * 3)(0, -1, 0)
    give = (ctypes.c_short * 3)(0, 1, 0o10000)
    attr = (ctypes.c_long * 8)(0, 2, 64)
    for turn in range(count):
        pid = os.fork()
        if pid == 0:
            must(libc.unshare(NEWIPC))
            sem, shm, msg = (
                libc.semget(7, 3, 0o1600),
                libc.shmget(7, 100000, 0o1600),
                libc.msgget(7, 0o1600),
            )
            assert (sem, shm, msg) == (0, 0, 0)
            queue = libc.mq_open(b"/soak", os.O_RDWR | os.O_CREAT, 0o600, attr)
            assert queue >= 0 and libc.mq_send(queue, b"text", 4, 0) == 0
            ctypes.memset(libc.shmat(shm, None, 0), 1, 100000)
            assert libc.msgsnd(msg, (ctypes.c_long * 9)(5), 64, 0) == 0
            waiters = []
            for _ in range(3):
                waiter = os.fork()
                if waiter == 0:
                    libc.semop(sem, give, 1)
                    libc.semop(sem, take, 1)
                    libc.semop(sem, take, 1)
                    libc.semop(sem, take, 1)
                    os._exit(0)
                waiters.append(waiter)
            if turn % 2:
                time.sleep(0.005)
                for waiter in waiters:
                    os.kill(waiter, signal.SIGKILL)
            else:
                libc.semctl(sem, 0, 0, 0)
            for waiter in waiters:
                os.waitpid(waiter, 0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def trees(count):
    """Pid namespaces full of forking trees, whose inits end in every way; nobody outlives them."""
    for turn in range(count):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                above(turn)
                os._exit(0)
            except BaseException as error:
                os.write(write, repr(error).encode())
            finally:
                os._exit(1)
        os.close(write)
        # It ends when the last one is dead that has the pipe open.
        said = os.read(read, 999)
        os.close(read)
        assert os.waitpid(pid, 0)[1] == 0 and not said, said


def young(count):
    """Calls of one beside many that call all the time, and are younger."""
    pids = []
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            while True:
                os.kill(os.getpid(), 0)
        pids.append(pid)
    for _ in range(count):
        os.kill(os.getpid(), 0)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def above(turn):
    """Makes a namespace, sends its init signals, and sees it end."""
    must(libc.unshare(NEWPID | (NEWIPC if turn % 3 else 0)))
    ready_in, ready_out = os.pipe()
    init = os.fork()
    if init == 0:
        try:
            inside(turn, ready_out)
        finally:
            os._exit(9)
    os.read(ready_in, 1)
    for _ in range(turn % 8):
        try:
            os.kill(init, signal.SIGUSR1)
        except ProcessLookupError:
            break
    time.sleep(random.random() * 0.01)
    if turn % 4 == 3:
        os.kill(init, signal.SIGKILL)
    ended = os.waitpid(init, 0)[1]
    assert ended == (signal.SIGKILL if turn % 4 == 3 else 7 << 8), ended


def inside(turn, ready):
    """The init: orphans come to it, and it ends alone, with everybody, or never by itself."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, False)  # or told calls end with EINTR now and then
    if turn % 3:
        for make in (libc.semget, libc.shmget):
            assert make(7, 3, 0o1600) >= 0
        assert libc.msgget(7, 0o1600) >= 0
    branch(2)
    assert os.getpid() == 1
    os.write(ready, b"r")
    if turn % 4 == 3:
        while True:
            signal.pause()
    if turn % 4:
        # Who is born meanwhile is hit the next time.
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(-1, sent)
            except ProcessLookupError:
                pass
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    os._exit(7)


def branch(depth):
    """Children with children: some leave them, some lead sessions, all stay until they are killed."""
    for _ in range(random.randrange(1, 4)):
        if os.fork() == 0:
            try:
                if random.random() < 0.3:
                    os.setsid()
                if depth:
                    branch(depth - 1)
                if random.random() < 0.5:
                    os._exit(0)
                while True:
                    time.sleep(0.005)
                    os.kill(os.getpid(), 0)
                    os.getppid()
            finally:
                os._exit(9)


def kill(pid):
    # The whole group now and then, else its leader alone: the others find themselves orphans.
    try:
        os.killpg(pid, signal.SIGKILL) if random.random() < 0.5 else os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


uid = os.getuid()
if sys.argv[1:] == ["busy"]:
    try:
        busy()
    finally:
        os._exit(0)
tasks = {
    "crowd": crowd,
    "forks": forks,
    "switches": switches,
    "kills": kills,
    "objects": objects,
    "trees": trees,
    "young": young,
}
for line in sys.stdin:
    task, amount = line.split()
    try:
        tasks[task](int(amount))
        print("done", flush=True)
    except BaseException as error:
        print(repr(error), flush=True)
