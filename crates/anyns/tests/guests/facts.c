/* What a program is told of itself, and other programs started in every way: facts, or
 * `launch HOW PROGRAM ARGUMENTS`. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <link.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int show(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    if (info->dlpi_name[0] && !strstr(info->dlpi_name, "vdso"))
        printf("loaded %s\n", info->dlpi_name);
    return 0;
}

static void facts(int argc, char **argv)
{
    char text[4096];
    ssize_t got;
    for (int i = 0; i < argc; i++)
        printf("argv[%d] %s\n", i, argv[i]);
    printf("execfn %s\n", (const char *)getauxval(AT_EXECFN));
    FILE *comm = fopen("/proc/self/comm", "r");
    if (comm && fgets(text, sizeof text, comm))
        printf("comm %s", text);
    got = readlink("/proc/self/exe", text, sizeof text - 1);
    if (got > 0) {
        text[got] = 0;
        printf("exe %s\n", text);
        struct stat one, other;
        if (!stat("/proc/self/exe", &one) && !stat(text, &other))
            printf("exe is %s\n", one.st_ino == other.st_ino ? "it" : "another");
    }
    FILE *maps = fopen("/proc/self/maps", "r");
    char before[4096] = "";
    while (maps && fgets(text, sizeof text, maps)) {
        char *path = strchr(text, '/');
        if (path && strcmp(path, before)) {
            printf("mapped %s", path);
            strcpy(before, path);
        }
    }
    printf("base %s\n", getauxval(AT_BASE) ? "yes" : "no");
    dl_iterate_phdr(show, NULL);
    ElfW(Phdr) *headers = (void *)getauxval(AT_PHDR);
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        if (headers[i].p_type != PT_INTERP)
            continue;
        unsigned long bias = 0;
        for (unsigned long k = 0; k < getauxval(AT_PHNUM); k++)
            if (headers[k].p_type == PT_PHDR)
                bias = (unsigned long)headers - headers[k].p_vaddr;
        printf("interpreter %s\n", (char *)(bias + headers[i].p_vaddr));
    }
}

static int failed(const char *how)
{
    printf("%s: %s\n", how, strerror(errno));
    return 1;
}

static int memory_file(const char *path)
{
    char text[65536];
    ssize_t got;
    int from = open(path, O_RDONLY), to = memfd_create("copy", 0);
    while ((got = read(from, text, sizeof text)) > 0)
        if (write(to, text, got) != got)
            exit(9);
    return to;
}

static int launch(const char *how, char *path, char **argv)
{
    int status, fd;
    pid_t child;
    fflush(stdout);
    if (!strcmp(how, "exec"))
        execv(path, argv);
    else if (!strcmp(how, "fexec") && (fd = open(path, O_RDONLY)) >= 0)
        fexecve(dup2(fd, 50), argv, environ);
    else if (!strcmp(how, "fexec-cloexec") && (fd = open(path, O_RDONLY)) >= 0)
        fexecve(dup3(fd, 50, O_CLOEXEC), argv, environ);
    else if (!strcmp(how, "path") && (fd = open(path, O_PATH)) >= 0)
        syscall(SYS_execveat, dup2(fd, 50), "", argv, environ, AT_EMPTY_PATH);
    else if (!strcmp(how, "at")) {
        char *copy = strdup(path);
        fd = open(dirname(copy), O_PATH);
        copy = strdup(path);
        syscall(SYS_execveat, dup2(fd, 50), basename(copy), argv, environ, 0);
    } else if (!strcmp(how, "nofollow"))
        syscall(SYS_execveat, AT_FDCWD, path, argv, environ, AT_SYMLINK_NOFOLLOW);
    else if (!strcmp(how, "check"))
        return syscall(SYS_execveat, AT_FDCWD, path, argv, environ, 0x10000) ? failed(how) : 0;
    else if (!strcmp(how, "flags"))
        syscall(SYS_execveat, AT_FDCWD, path, argv, environ, 1);
    else if (!strcmp(how, "memfd"))
        fexecve(dup2(memory_file(path), 50), argv, environ);
    else if (!strcmp(how, "none"))
        syscall(SYS_execve, path, NULL, NULL);
    else if (!strcmp(how, "bad"))
        syscall(SYS_execve, (char *)1, argv, environ);
    else if (!strcmp(how, "bad-argv"))
        syscall(SYS_execve, path, (char **)1, environ);
    else if (!strcmp(how, "big")) {
        char *huge = malloc(9 << 20);
        memset(huge, 'x', 9 << 20);
        huge[(9 << 20) - 1] = 0;
        char *arguments[] = { path, huge, NULL };
        execv(path, arguments);
    } else if (!strcmp(how, "many")) {
        char **arguments = calloc(20002, sizeof *arguments);
        for (int i = 0; i < 20000; i++)
            arguments[i] = i ? "x" : path;
        execv(path, arguments);
    } else if (!strcmp(how, "busy")) {
        fd = open(path, O_WRONLY);
        execv(path, argv);
    } else if (!strcmp(how, "vfork")) {
        child = vfork();
        if (!child) {
            execv(path, argv);
            _exit(100 + errno);
        }
        waitpid(child, &status, 0);
        printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        return 0;
    } else if (!strcmp(how, "spawn")) {
        int error = posix_spawn(&child, path, NULL, NULL, argv, environ);
        if (error) {
            errno = error;
            return failed(how);
        }
        waitpid(child, &status, 0);
        printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        return 0;
    }
    return failed(how);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 3 && !strcmp(argv[1], "launch"))
        return launch(argv[2], argv[3], argv + 3);
    facts(argc > 20 ? 0 : argc, argv);
    if (argc > 20)
        printf("argc %d\n", argc);
    return 0;
}
