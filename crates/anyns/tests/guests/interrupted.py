# Makes calls that say EINTR on no kernel, while signals come whose handler was installed without
# SA_RESTART; says how many were interrupted.
import os, signal

signals = 0


def handler(*_):
    global signals
    signals += 1


signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
me = os.getuid()
asked = forked = 0
for turn in range(20000):
    asked += os.getuid() != me
    if turn % 20 == 0:
        try:
            child = os.fork()
        except InterruptedError:
            forked += 1
            continue
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
print("interrupted", asked, forked, "of many" if signals > 100 else signals)
