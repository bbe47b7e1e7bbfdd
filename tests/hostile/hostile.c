// What a hostile build script tries, one attempt a function: 0 where the door was open, else errno. Each runs in a process of
// its own and is one line of output. Which outcome is right on which rung is said in tests/hostile.rs.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *HOME = "/home/vx-tester";
static int outcome(long result) { return result < 0 ? errno : 0; }

static const char *in(const char *folder, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int reads(const char *path) {
    char byte[1];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return errno;
    return read(fd, byte, 1) < 0 ? errno : 0;
}

static int writes(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    if (fd < 0) return errno;
    return outcome(write(fd, "x", 1));
}

static int lists(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return errno;
    struct dirent *entry;
    int names = 0;
    while ((entry = readdir(dir))) names += entry->d_name[0] != '.';
    return names ? 0 : ENOENT;
}

static int path_socket(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    return outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
}

static int run_socket(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/run/user/%s/%s", getenv("HOSTILE_UID"), name);
    return path_socket(path);
}

// The process of another by its name; where processes cannot be listed, the number that somebody has told it.
static pid_t named(const char *name) {
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    if (!dir) return atoi(getenv("HOSTILE_EXECD"));
    while ((entry = readdir(dir))) {
        char path[300], comm[32] = "";
        pid_t pid = atoi(entry->d_name);
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        char *line = fgets(comm, sizeof comm, file);
        fclose(file);
        if (line && !strncmp(comm, name, strlen(name)) && comm[strlen(name)] == '\n') return pid;
    }
    return 0;
}

static int read_key(void) { return reads(in(HOME, ".ssh/id_ed25519")); }
static int read_shadow(void) { return reads("/etc/shadow"); }
static int read_machine_id(void) { return reads("/etc/machine-id"); }
static int list_home(void) { return lists(HOME); }
static int read_checkout(void) { return reads(in(HOME, "other/secret.rs")); }
static int read_by_link(void) {
    const char *out = getenv("OUT_DIR");
    char link[4096];
    snprintf(link, sizeof link, "%s/way-out", out);
    if (symlink("/home/vx-tester/.ssh/id_ed25519", link) < 0) return errno;
    return reads(link);
}
static int link_key(void) {
    char to[4096];
    snprintf(to, sizeof to, "%s/key", getenv("OUT_DIR"));
    return outcome(link("/home/vx-tester/.ssh/id_ed25519", to));
}
static int write_home(void) { return writes(in(HOME, "evil")); }
static int write_usr(void) { return writes("/usr/evil"); }
static int write_tmp(void) {
    // Where /tmp is the host's, what another run of the tests has left there is another user's.
    char name[64];
    snprintf(name, sizeof name, "evil-%s", getenv("HOSTILE_PORT"));
    return writes(in("/tmp", name));
}
static int write_shm(void) { return writes("/dev/shm/evil"); }
static int write_inputs(void) { return writes(in(getenv("CARGO_MANIFEST_DIR"), "src/lib.rs")); }
static int write_dependency(void) {
    char path[4096];
    const char *deps = getenv("LD_LIBRARY_PATH");
    snprintf(path, sizeof path, "%.*s/evil", (int)strcspn(deps, ":"), deps);
    return writes(path);
}
static int write_toolchain(void) { return writes(in(strchr(getenv("LD_LIBRARY_PATH"), ':') + 1, "evil")); }
static int truncate_file(void) { return outcome(truncate(in(HOME, "precious"), 0)); }
static int truncate_by_open(void) { return outcome(open(in(HOME, "precious"), O_RDONLY | O_TRUNC)); }
static int chmod_key(void) { return outcome(chmod(in(HOME, ".ssh/id_ed25519"), 0644)); }
static int tcp(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("HOSTILE_PORT")))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    return outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
}
static int udp(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) return errno;
    return outcome(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
}
static int agent(void) { return path_socket(in(HOME, "agent.sock")); }
static int session_bus(void) { return run_socket("bus"); }
static int store_socket(void) { return run_socket("vx/cas.sock"); }
static int manager_socket(void) { return run_socket("systemd/private"); }
static int abstract_socket(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *name = getenv("HOSTILE_ABSTRACT");
    strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    return outcome(connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}
static int datagram_pair(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, in(HOME, "datagram.sock"), sizeof to.sun_path - 1);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) return errno;
    struct iovec data = {"x", 1};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &data, .msg_iovlen = 1};
    return outcome(sendmsg(pair[0], &message, 0));
}
static int vsock(void) {
    struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    return outcome(connect(fd, (struct sockaddr *)&to, sizeof to));
}
static int netlink(void) { return outcome(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int see_execd(void) {
    if (!opendir("/proc")) return errno;
    return named("vx-execd") ? 0 : ENOENT;
}
static int signal_execd(void) {
    pid_t pid = named("vx-execd");
    return pid ? outcome(kill(pid, 0)) : ENOENT;
}
static int trace_execd(void) {
    pid_t pid = named("vx-execd");
    return pid ? outcome(ptrace(PTRACE_SEIZE, pid, 0, 0)) : ENOENT;
}
static int environ_of_execd(void) {
    char path[64];
    pid_t pid = named("vx-execd");
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    return pid ? reads(path) : ENOENT;
}
static int root_of_execd(void) {
    char path[64];
    pid_t pid = named("vx-execd");
    snprintf(path, sizeof path, "/proc/%d/root/etc", pid);
    return pid ? lists(path) : ENOENT;
}
static int shared_memory(void) { return outcome(shmget(0x7678, 0, 0)); }
static int type_ahead(void) { char c = 'x'; return outcome(ioctl(0, TIOCSTI, &c)); }
static int keyring(void) { return outcome(syscall(SYS_add_key, "user", "vx", "x", 1UL, -3)); }
static int uring(void) { char params[120] = {0}; return outcome(syscall(SYS_io_uring_setup, 1, params)); }
static int fault_handler(void) { return outcome(syscall(SYS_userfaultfd, 1)); }
static int bpf(void) { char attributes[120] = {0}; return outcome(syscall(SYS_bpf, 0, attributes, sizeof attributes)); }
static int perf(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes};
    return outcome(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}
static int mounts(void) { return outcome(mount("x", "/tmp", "tmpfs", 0, 0)); }
static int namespaces(void) { return outcome(unshare(CLONE_NEWUSER)); }
static int namespaces_by_clone(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return outcome(pid);
}
static int change_root(void) { return outcome(chroot(getenv("OUT_DIR"))); }
static int by_handle(void) {
    struct { struct file_handle head; char bytes[64]; } handle = {.head = {.handle_bytes = 8, .handle_type = 1}};
    return outcome(syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
}
static int clocks(void) { struct timespec now = {1, 0}; return outcome(clock_settime(CLOCK_REALTIME, &now)); }
static int more_processes(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    if (limit.rlim_max == RLIM_INFINITY) return 0;
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    return outcome(setrlimit(RLIMIT_NPROC, &limit));
}
static int large_file(void) {
    signal(SIGXFSZ, SIG_IGN);
    int fd = open(in(getenv("OUT_DIR"), "large"), O_RDWR | O_CREAT, 0644);
    return fd < 0 ? errno : outcome(ftruncate(fd, 9L << 30));
}
static int device(void) { return outcome(mknod(in(getenv("OUT_DIR"), "device"), S_IFCHR | 0666, 0x105)); }
static int pipe_output(void) { return outcome(mkfifo(in(getenv("OUT_DIR"), "pipe"), 0666)); }
static int x32_call(void) { return outcome(syscall(SYS_getpid | 0x40000000)); }
static int call_of_32_bit(void) {
#ifdef __x86_64__
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
    return result > 0 ? 0 : ENOSYS;
#else
    return ENOSYS;
#endif
}
static int outlive(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            for (int fd = 0; fd < 3; fd++) close(fd);
            execlp("sleep", "sleep", getenv("HOSTILE_SLEEP"), (char *)0);
        }
        _exit(0);
    }
    return 0;
}
static int bomb(void) {
    static pid_t pids[40000];
    int made = 0, error = 0;
    while (made < 40000) {
        pid_t pid = fork();
        if (pid < 0) { error = errno; break; }
        if (pid == 0) { pause(); _exit(0); }
        pids[made++] = pid;
    }
    for (int i = 0; i < made; i++) kill(pids[i], SIGKILL);
    for (int i = 0; i < made; i++) waitpid(pids[i], 0, 0);
    return error;
}

static const struct { const char *name; int (*attempt)(void); } ATTEMPTS[] = {
#define TRY(name) {#name, name},
#include "attempts.h"
};

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "kill-everybody")) {
        kill(-1, SIGKILL);
        return 0;
    }
    if (count > 1 && !strcmp(words[1], "flood")) {
        static char page[1 << 20];
        memset(page, 'x', sizeof page);
        for (int i = 0; i < 80; i++) if (write(1, page, sizeof page) < 0) return 1;
        return 0;
    }
    for (size_t i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) { alarm(300); _exit(ATTEMPTS[i].attempt()); }
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status)) printf("%s SIG%s\n", ATTEMPTS[i].name, sigabbrev_np(WTERMSIG(status)));
        else printf("%s %s\n", ATTEMPTS[i].name, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "open");
        fflush(stdout);
    }
    return 0;
}
