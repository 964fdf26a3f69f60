"""Seccomp filters of a program's own: who may install them, who is seen to have one, and what a filter
that raises SIGSYS does where that is ignored."""
import ctypes, errno, os, signal, struct, threading

libc = ctypes.CDLL(None, use_errno=True)
SECCOMP, GETPID, MKDIR = 317, 39, 83
SET_NNP, GET_NNP, GET_MODE, SET_MODE = 38, 39, 21, 22
ALLOW, ERRNO, TRAP, KILL = 0x7FFF0000, 0x50000, 0x30000, 0x80000000
TSYNC, NEW_LISTENER = 1, 8
kept = []


def said(result):
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def program(number, action, length=None):
    """Takes `action` for one call, and allows the others."""
    insns = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, action), (6, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *insn) for insn in insns))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(insns) if length is None else length, ctypes.addressof(code)))
    kept.extend([code, whole])
    return whole


def install(program, flags=0):
    return said(libc.syscall(SECCOMP, 1, flags, program))


def prctl(*args):
    return said(libc.prctl(*(ctypes.c_ulong(arg) if isinstance(arg, int) else arg for arg in args)))


def child(what):
    """Does it in a child; says how that ended."""
    pid = os.fork()
    if pid == 0:
        what()
        os._exit(0)
    print("  ended", os.waitpid(pid, 0)[1] & ~0x80, flush=True)


def show(*what):
    print(*what, flush=True)


def without():
    show("mode", prctl(GET_MODE, 0, 0, 0, 0), "may", prctl(GET_NNP, 0, 0, 0, 0))
    allowing = program(GETPID, ALLOW)
    show("not allowed", install(allowing), prctl(SET_MODE, 2, allowing, 0, 0), install(allowing, TSYNC))
    show("wrong", install(allowing, 1 << 20), install(allowing, TSYNC | NEW_LISTENER), install(None))
    show("too short", install(program(GETPID, ALLOW, 0)), "too long", install(program(GETPID, ALLOW, 5000)))
    show("mode", prctl(GET_MODE, 0, 0, 0, 0))


def allowed():
    show("set", prctl(SET_NNP, 1, 0, 0, 0), "mode", prctl(GET_MODE, 0, 0, 0, 0))
    show("installed", install(program(MKDIR, ERRNO | errno.EXDEV)), prctl(SET_MODE, 2, program(GETPID, ALLOW), 0, 0))
    show("mode", prctl(GET_MODE, 0, 0, 0, 0), said(libc.mkdir(b"never", 0o755)))


def raised(number, disposition):
    def it():
        signal.signal(signal.SIGSYS, disposition)
        prctl(SET_NNP, 1, 0, 0, 0)
        show("raises", install(program(number, TRAP)))
        libc.syscall(number, b"never", 0o755)
        show("goes on")

    return it


def killed():
    prctl(SET_NNP, 1, 0, 0, 0)
    show("kills", install(program(MKDIR, KILL)))
    libc.mkdir(b"never", 0o755)


def of_all_threads():
    begin, end = threading.Event(), threading.Event()

    def other():
        begin.set()
        end.wait()
        show("other", prctl(GET_NNP, 0, 0, 0, 0), prctl(GET_MODE, 0, 0, 0, 0), said(libc.mkdir(b"never", 0o755)), install(program(GETPID, ALLOW)))

    thread = threading.Thread(target=other)
    thread.start()
    begin.wait()
    prctl(SET_NNP, 1, 0, 0, 0)
    show("for all", install(program(MKDIR, ERRNO | errno.ENOSPC), TSYNC))
    end.set()
    thread.join()


def root_inside():
    show("unshare", said(libc.unshare(0x10000000)))
    show("may", prctl(GET_NNP, 0, 0, 0, 0), "mode", prctl(GET_MODE, 0, 0, 0, 0))
    lines = [line.strip() for line in open("/proc/self/status") if line.startswith(("NoNew", "Seccomp"))]
    show(lines, "installed", install(program(MKDIR, ERRNO | errno.EXDEV)), said(libc.mkdir(b"never", 0o755)))
    lines = [line.strip() for line in open("/proc/self/status") if line.startswith(("NoNew", "Seccomp"))]
    show(lines, "mode", prctl(GET_MODE, 0, 0, 0, 0))


for what in without, allowed, killed, of_all_threads, root_inside:
    child(what)
for number in GETPID, MKDIR:
    for disposition in signal.SIG_IGN, signal.SIG_DFL, lambda *_: show("handled"):
        child(raised(number, disposition))
