"""Does what it is told on its standard input, a line a task, and answers each with `done`."""

import ctypes
import os
import random
import signal
import sys
import threading
import time

NEWUSER, NEWUTS = 0x10000000, 0x04000000
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
tasks = {"crowd": crowd, "forks": forks, "switches": switches, "kills": kills}
for line in sys.stdin:
    task, amount = line.split()
    try:
        tasks[task](int(amount))
        print("done", flush=True)
    except BaseException as error:
        print(repr(error), flush=True)
