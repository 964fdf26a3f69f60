# Two processes that meet at a FIFO while one of them is sent signals all the time: its open is made
# anew, as SA_RESTART has it, and nobody meets somebody who is not there.
import ctypes, os, signal, threading, time

libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGURG, lambda *_: None)
signal.siginterrupt(signal.SIGURG, False)
main = threading.main_thread().ident
over = False

def stir():
    while not over:
        signal.pthread_kill(main, signal.SIGURG)
        time.sleep(0.01)

os.mkfifo('meeting')
threading.Thread(target=stir).start()
failed = []
for _ in range(40):
    child = os.fork()
    if child == 0:
        time.sleep(0.05)
        os._exit(libc.open(b'meeting', os.O_RDONLY) < 0)
    # Python's own open would be made anew in any case.
    fd = libc.open(b'meeting', os.O_WRONLY)
    if fd < 0:
        failed.append(os.strerror(ctypes.get_errno()))
        os.kill(child, signal.SIGKILL)
    else:
        os.close(fd)
    failed += [status for status in [os.waitpid(child, 0)[1]] if status]
over = True
print(failed)
