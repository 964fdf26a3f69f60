"""Waits for the other side of a FIFO until a signal comes, and then for that side itself."""
import ctypes, errno, os, signal

libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *_: print("a signal"))
os.mkfifo("fifo")
for flags in (os.O_RDONLY, os.O_WRONLY):
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    done = libc.open(b"fifo", flags)
    print(done, errno.errorcode[ctypes.get_errno()])
if os.fork() == 0:
    os.write(os.open("fifo", os.O_WRONLY), b"from a child")
    os._exit(0)
print(os.read(os.open("fifo", os.O_RDONLY), 100), os.wait()[1])
