// What the C library does with numbers in a process of several threads: it signals threads of its own
// and looks at who the signals are from.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks;

static void *sleeps(void *nothing) {
    pause();
    return nothing;
}

static void told(int signal, siginfo_t *info, void *nothing) {
    int own = info->si_pid == getpid();
    dprintf(1, "signal %d, code %d, %s\n", signal, info->si_code, own ? "own" : "another's");
    (void)nothing;
}

static void tick(int signal) {
    (void)signal;
    ticks++;
}

static pthread_mutex_t robust;

static void *leaves(void *nothing) {
    pthread_mutex_lock(&robust);
    return nothing;
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, sleeps, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = told;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    pthread_kill(thread, SIGUSR1);
    usleep(100000);
    alarm(20);
    printf("setuid %d\n", setuid(getuid()));
    pthread_create(&thread, NULL, sleeps, NULL);
    usleep(20000);
    pthread_cancel(thread);
    void *how;
    pthread_join(thread, &how);
    printf("cancelled %d\n", how == PTHREAD_CANCELED);

    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &kind);
    pthread_mutex_lock(&mutex);
    printf("twice %s\n", strerror(pthread_mutex_lock(&mutex)));
    pthread_mutex_unlock(&mutex);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &kind);
    pthread_create(&thread, NULL, leaves, NULL);
    pthread_join(thread, NULL);
    printf("its owner has gone: %s\n", strerror(pthread_mutex_lock(&robust)));

    memset(&action, 0, sizeof action);
    action.sa_handler = tick;
    sigaction(SIGRTMIN, &action, NULL);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    timer_t timer;
    printf("timer %d\n", timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
    timer_settime(timer, 0, &soon, NULL);
    usleep(200000);
    printf("ticks %d\n", (int)ticks);

    pid_t child = fork();
    if (child == 0)
        _exit(getppid() == 1 || getppid() > 1 ? 3 : 4);
    int status;
    printf("child %d, %d\n", waitpid(child, &status, 0) == child, WEXITSTATUS(status));
    return 0;
}
