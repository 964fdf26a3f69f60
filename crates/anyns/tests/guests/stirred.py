# A thread that changes its directory, forks and executes while others of its process send it signals
# all the time, as Go's runtime does: nothing is refused, and nothing is kept waiting by the signals. (A
# busy machine may take a second for one thing, but not again and again.) With `meet` as the second
# argument it meets others at a FIFO: its open is made anew, and nobody meets somebody who is not there.
import ctypes, os, signal, sys, threading, time

meets = sys.argv[2:] == ['meet']
libc = ctypes.CDLL(None, use_errno=True)

got = 0

def handler(*_):
    global got
    got += 1

signal.signal(signal.SIGURG, handler)
signal.siginterrupt(signal.SIGURG, False)
main = threading.main_thread().ident
over = False

def stir():
    while not over:
        signal.pthread_kill(main, signal.SIGURG)
        time.sleep(0.01 if meets else 0.0002)

threads = [threading.Thread(target=stir) for _ in range(2)]
for thread in threads:
    thread.start()
failed = set()
slow = 0

def attempt(name, act):
    global slow
    start = time.monotonic()
    try:
        act()
    except OSError as e:
        failed.add((name, e.strerror))
    slow += time.monotonic() - start > 0.9

def child():
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 7:
        failed.add(('wait', 'another status'))

def program():
    pid = os.posix_spawn('/bin/true', ['true'], {})
    if os.waitpid(pid, 0)[1] != 0:
        failed.add(('spawn', 'another status'))

def meet():
    pid = os.fork()
    if pid == 0:
        time.sleep(0.05)
        os._exit(libc.open(b'meeting', os.O_RDONLY) < 0)
    # Python's own open would be made anew in any case.
    fd = libc.open(b'meeting', os.O_WRONLY)
    error = ctypes.get_errno()
    if fd < 0:
        os.kill(pid, signal.SIGKILL)
    else:
        os.close(fd)
    if os.waitpid(pid, 0)[1] != 0 and fd >= 0:
        failed.add(('meet', 'another status'))
    if fd < 0:
        raise OSError(error, os.strerror(error))

if meets:
    os.mkfifo('meeting')
here = os.getcwd()
for _ in range(int(sys.argv[1])):
    if meets:
        attempt('meet', meet)
        continue
    attempt('chdir', lambda: os.chdir('/'))
    attempt('chdir back', lambda: os.chdir(here))
    attempt('fork', child)
    attempt('spawn', program)
print(sorted(failed), got > 0, 'slow' if slow > 5 else 'in time', flush=True)
# The last of all: an exec by the first thread, stirred as well.
os.execv('/bin/echo', ['echo', 'executed'])
