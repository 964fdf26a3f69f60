/*
 * A guest in a storm of numbered signals: it forks and switches namespaces all the time, and counts
 * how often each number arrived.
 *
 *   storm guest FILE COUNT THREADS SENDER   SENDER: inside (a child sends) or outside (somebody else)
 *   storm send FILE COUNT PID               the storm itself
 *
 * Real-time signals queue, so none may be lost, none may come twice, and those of one number come in
 * the order in which they were sent (with one thread). FILE is shared by both sides.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KINDS 4    /* signals from SIGRTMIN on */
#define BURST 32   /* at most so many for one turn of the guest */
#define SHARE 100  /* and at most so many for each fork, and for each switch */
#define SILENCE 20 /* seconds without a signal after which the rest counts as lost */

struct shared {
    atomic_int turns, forks, switches, sent, ended;
    atomic_int received, strays, disorder;
    atomic_uchar count[]; /* of each number */
};

static struct shared *shared;
static int count, threads, home;
static pid_t owner;
static int last[KINDS];

static void fail(const char *what)
{
    fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
    _exit(2);
}

static void arrived(int signal, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno, number = info->si_value.sival_int, kind = signal - SIGRTMIN;
    /* A child has the handler, but nobody sends to it. */
    if (getpid() != owner || info->si_code != SI_QUEUE || number < 0 || number >= count) {
        shared->strays++;
        errno = saved;
        return;
    }
    shared->count[number]++;
    if (threads == 1) {
        if (number < last[kind])
            shared->disorder++;
        last[kind] = number;
    }
    shared->received++;
    errno = saved;
}

static void map_file(const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    size_t size = sizeof(struct shared) + count;
    if (fd < 0 || ftruncate(fd, size))
        fail(file);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        fail("mmap");
    close(fd);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Sends everything, a burst for each turn of the guest, at any moment of the turn. */
static int send_all(pid_t to)
{
    unsigned dice = getpid() | 1;
    for (int number = 0; number < count;) {
        int turn = shared->turns;
        dice = dice * 1103515245 + 12345;
        for (int left = (dice >> 16) % BURST + 1; left > 0 && number < count;) {
            union sigval value = { .sival_int = number };
            if (sigqueue(to, SIGRTMIN + number % KINDS, value) == 0) {
                shared->sent++;
                number++;
                left--;
            } else if (errno == EAGAIN) {
                usleep(200); /* the user's queue is full: RLIMIT_SIGPENDING */
            } else {
                fail("sigqueue");
            }
        }
        /* However slow the machine is, the guest has its turns, of both kinds, between the bursts. */
        double patience = now() + SILENCE / 2;
        while ((shared->turns == turn || shared->forks < number / SHARE
                || shared->switches < number / SHARE)
               && now() < patience)
            sched_yield();
    }
    shared->ended = 1;
    return 0;
}

static int over(void)
{
    static atomic_int seen;
    static _Atomic double since;
    if (shared->ended && shared->received >= count)
        return 1;
    if (shared->received != seen || since == 0) {
        seen = shared->received;
        since = now();
    }
    return now() - since > SILENCE;
}

static void *forks(void *unused)
{
    while (!over()) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0)
            _exit(7);
        int status;
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
            fail("waitpid");
        shared->forks++;
        shared->turns++;
    }
    return unused;
}

static void switch_once(void)
{
    char name[16], seen[65];
    snprintf(name, sizeof(name), "s%d", shared->switches % 1000);
    if (unshare(CLONE_NEWUTS))
        fail("unshare");
    if (sethostname(name, strlen(name)))
        fail("sethostname");
    if (gethostname(seen, sizeof(seen)) || strcmp(seen, name))
        fail("gethostname");
    if (setns(home, CLONE_NEWUTS))
        fail("setns");
    if (gethostname(seen, sizeof(seen)) || strcmp(seen, "home"))
        fail("home");
    shared->switches++;
    shared->turns++;
}

static void *switches(void *unused)
{
    while (!over())
        switch_once();
    return unused;
}

static void *both(void *unused)
{
    while (!over()) {
        switch_once();
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0) {
            switch_once();
            _exit(7);
        }
        int status;
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
            fail("waitpid");
        shared->forks++;
    }
    return unused;
}

static int guest(int inside)
{
    owner = getpid();
    home = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (home < 0 || sethostname("home", 4))
        fail("home");
    struct sigaction action = { .sa_sigaction = arrived, .sa_flags = SA_SIGINFO | SA_RESTART };
    for (int kind = 0; kind < KINDS; kind++) {
        last[kind] = -1;
        if (sigaction(SIGRTMIN + kind, &action, NULL))
            fail("sigaction");
    }
    pid_t sender = 0;
    if (inside) {
        sender = fork();
        if (sender == 0)
            _exit(send_all(owner));
    }
    printf("%d\n", owner);
    fflush(stdout);
    if (threads == 1) {
        both(NULL);
    } else {
        pthread_t others[2];
        if (pthread_create(&others[0], NULL, forks, NULL)
            || pthread_create(&others[1], NULL, switches, NULL))
            fail("pthread_create");
        both(NULL);
        pthread_join(others[0], NULL);
        pthread_join(others[1], NULL);
    }
    int status = 0;
    if (inside && (waitpid(sender, &status, 0) != sender || status != 0))
        fail("the sender");
    int lost = 0, more = 0;
    for (int number = 0; number < count; number++) {
        lost += shared->count[number] == 0;
        more += shared->count[number] > 1;
    }
    printf("sent %d received %d lost %d more than once %d strays %d out of order %d\n",
           shared->sent, shared->received, lost, more, shared->strays, shared->disorder);
    fprintf(stderr, "%d forks, %d switches\n", shared->forks, shared->switches);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 64;
    count = atoi(argv[3]);
    map_file(argv[2]);
    if (!strcmp(argv[1], "send"))
        return send_all(atoi(argv[4]));
    threads = atoi(argv[4]);
    return guest(argc > 5 && !strcmp(argv[5], "inside"));
}
