"""Processes that unshare this and that all the time, and are killed in the middle of it by their parent,
which makes others: nobody else waits for the dead."""
import ctypes, os, random, signal, sys, time

libc = ctypes.CDLL(None, use_errno=True)
# What the kernel has to separate itself, and what is the model's alone.
FLAGS = [0x800, 0x40000, 0x100, 0x200, 0x400, 0x20000, 0x4000000, 0x8000000, 0x10000000]


def child():
    while True:
        libc.unshare(random.choice(FLAGS))


def make():
    pid = os.fork()
    if pid == 0:
        random.seed(os.getpid())
        child()
    return pid


random.seed(1)
until = time.monotonic() + float(sys.argv[1])
children = [make() for _ in range(6)]
killed = 0
while time.monotonic() < until:
    time.sleep(random.random() / 200)
    at = random.randrange(len(children))
    os.kill(children[at], signal.SIGKILL)
    assert os.waitpid(children[at], 0) == (children[at], signal.SIGKILL)
    children[at] = make()
    killed += 1
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(killed > 20, libc.unshare(0x4000000))
