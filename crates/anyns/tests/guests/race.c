/* Executes /bin/true over and over while another thread looks, below the stack, for the path that the
 * kernel is about to read, and exchanges it for one outside: `race TIMES OUTSIDE`. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *volatile top;
static char *outside;

static void *exchange(void *unused)
{
    (void)unused;
    for (;;) {
        char *low = top - 4096, *at = low;
        while ((at = memmem(at, top - at, "/true", 6))) {
            char *start = at;
            while (start > low && start[-1])
                start--;
            if (*start == '/')
                strcpy(start, outside);
            at++;
        }
    }
    return NULL;
}

static void run(void)
{
    pthread_t thread;
    char *argv[] = { "true", NULL }, *none[] = { NULL };
    top = (char *)__builtin_frame_address(0);
    pthread_create(&thread, NULL, exchange, NULL);
    usleep(1000);
    execve("/bin/true", argv, none);
    _exit(99);
}

int main(int argc, char **argv)
{
    int right = 0, killed = 0, other = 0;
    if (argc < 3)
        return 1;
    outside = argv[2];
    for (int i = 0; i < atoi(argv[1]); i++) {
        int status;
        pid_t child = fork();
        if (!child)
            run();
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            right++;
        else if (WIFSIGNALED(status) && WTERMSIG(status) == 9)
            killed++;
        else
            other++;
    }
    fprintf(stderr, "right %d killed %d other %d\n", right, killed, other);
    return 0;
}
