/* Two processes hand a semaphore to each other, and each waits for the other at every step.
 *
 * usage: handing TIMES MICROSECONDS
 *
 * With a number of microseconds they are stopped and continued all the while, which makes a sleeper
 * begin its sleep again: with a stop every so often. Where the kernel serves the calls a stop ends
 * the wait with EINTR.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void operate(int set, int number, int add)
{
    struct sembuf one = { number, add, 0 };
    while (semop(set, &one, 1))
        if (errno != EINTR) {
            perror("semop");
            _exit(1);
        }
}

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

static void pass(long microseconds)
{
    long end = now() + rand() % microseconds;
    while (now() < end)
        ;
}

int main(int argc, char **argv)
{
    int times = atoi(argv[1]);
    long often = atol(argv[2]);
    int set = semget(IPC_PRIVATE, 2, 0600);
    if (set < 0) {
        perror("semget");
        return 1;
    }
    pid_t both[2];
    for (int me = 0; me < 2; me++)
        if (!(both[me] = fork())) {
            for (int i = 0; i < times; i++) {
                operate(set, 1 - me, 1);
                operate(set, me, -1);
            }
            _exit(0);
        }
    if (often) {
        siginfo_t info = { 0 };
        for (int turn = 0; !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid; turn++) {
            kill(both[turn % 2], SIGSTOP);
            pass(often);
            kill(both[turn % 2], SIGCONT);
            pass(often);
        }
    }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad |= status;
    semctl(set, 0, IPC_RMID);
    printf("%d times, %d\n", times, bad);
    return bad != 0;
}
