# A thread that changes its directory, forks and executes while others of its process send it signals
# all the time, as Go's runtime does: nothing is refused, and nothing is kept waiting by the signals. (A
# busy machine may take a second for one thing, but not again and again.)
import os, signal, sys, threading, time

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
        time.sleep(0.0002)

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

here = os.getcwd()
for _ in range(int(sys.argv[1])):
    attempt('chdir', lambda: os.chdir('/'))
    attempt('chdir back', lambda: os.chdir(here))
    attempt('fork', child)
    attempt('spawn', program)
print(sorted(failed), got > 0, 'slow' if slow > 5 else 'in time', flush=True)
# The last of all: an exec by the first thread, stirred as well.
os.execv('/bin/echo', ['echo', 'executed'])
