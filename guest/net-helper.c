/* Stage 1: see net-helper.h. Every failure of its own exits 125 with one line; no command has run inside by then, and what had been started is gone. */
#define _GNU_SOURCE
#include "net-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PORTS 64
#define MAX_KEPT 128
#define MAX_GROUPS 8

static struct {
  pid_t parent;
  int channel;
  uint16_t ports[MAX_PORTS];
  int port_count;
  int kept[MAX_KEPT]; /* descriptors that stage 2 inherits */
  int kept_count;
  int groups[MAX_GROUPS]; /* control files of the groups to join */
  int group_count;
  const char *scratch;
  const char *scratch_options;
  unsigned long processes, files;
  uint64_t watched_bytes;
  cpu_set_t cpus;
  bool has_cpus;
} options;

/* stage 2, once it was forked: pid 1 of the sandbox's pid namespace */
static pid_t child = -1;

/* Whatever runs inside is gone and reaped when this has returned. */
static void end_child(void) {
  if (child <= 0) return;
  kill(child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

_Noreturn void refuse(const char *what) {
  dprintf(2, "net-helper: %s\n", what);
  end_child();
  _exit(EXIT_FAILED);
}

_Noreturn void fail(const char *what) {
  dprintf(2, "net-helper: %s: %s\n", what, strerror(errno));
  end_child();
  _exit(EXIT_FAILED);
}

static unsigned long long number(const char *text, unsigned long long most) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value > most) refuse("a number on the command line is not one");
  return value;
}

/* Returns the index of stage 2's own argv. */
static int parse(int argc, char **argv) {
  CPU_ZERO(&options.cpus);
  options.channel = -1;
  int at = 1;
  for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
    const char *name = argv[at], *value = argv[at + 1];
    if (strcmp(name, "--parent") == 0)
      options.parent = (pid_t)number(value, 1 << 30);
    else if (strcmp(name, "--channel") == 0)
      options.channel = (int)number(value, 1 << 20);
    else if (strcmp(name, "--listen") == 0 && options.port_count < MAX_PORTS)
      options.ports[options.port_count++] = (uint16_t)number(value, 65535);
    else if (strcmp(name, "--keep") == 0 && options.kept_count < MAX_KEPT)
      options.kept[options.kept_count++] = (int)number(value, 1 << 20);
    else if (strcmp(name, "--join") == 0 && options.group_count < MAX_GROUPS)
      options.groups[options.group_count++] = (int)number(value, 1 << 20);
    else if (strcmp(name, "--scratch") == 0)
      options.scratch = value;
    else if (strcmp(name, "--scratch-options") == 0)
      options.scratch_options = value;
    else if (strcmp(name, "--processes") == 0)
      options.processes = (unsigned long)number(value, 1 << 22);
    else if (strcmp(name, "--files") == 0)
      options.files = (unsigned long)number(value, 1 << 30);
    else if (strcmp(name, "--watch-memory") == 0)
      options.watched_bytes = number(value, UINT64_MAX);
    else if (strcmp(name, "--cpu") == 0) {
      CPU_SET(number(value, CPU_SETSIZE - 1), &options.cpus);
      options.has_cpus = true;
    } else
      refuse("an option on the command line is unknown");
  }
  if (at + 1 >= argc || options.parent <= 0 || options.channel < 0 || options.scratch == NULL || options.scratch_options == NULL)
    refuse("the command line is incomplete");
  return at + 1;
}

/* The signal is tied to the parent's thread and lost if it died before the call: so look afterwards. */
static void die_with_parent(void) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("parent death signal");
  if (getppid() != options.parent) refuse("the parent is gone");
}

/* false: the file refused it, errno says why */
static bool write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = (ssize_t)strlen(text);
  bool done = write(fd, text, (size_t)length) == length;
  int error = errno;
  close(fd);
  errno = error;
  return done;
}

/* The files were opened by root, whose right counts. "0" into a v1 group's `tasks` moves the writer alone and takes no lock; moving
   a process from outside waits for a grace period of the kernel, up to 15 ms. */
static void join_groups(void) {
  for (int i = 0; i < options.group_count; i++) {
    if (write(options.groups[i], "0", 1) != 1) fail("control group");
    close(options.groups[i]);
  }
}

static void make_namespaces(void) {
  char uid_map[64], gid_map[64];
  snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)getuid());
  snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getgid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS) < 0) fail("user, network, pid and mount namespaces");
  if (!write_text("/proc/self/setgroups", "deny")) fail("/proc/self/setgroups");
  if (!write_text("/proc/self/uid_map", uid_map)) fail("/proc/self/uid_map");
  if (!write_text("/proc/self/gid_map", gid_map)) fail("/proc/self/gid_map");
}

static void make_directory(const char *name, mode_t mode) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", options.scratch, name) >= sizeof path) refuse("the scratch path is too long");
  if (mkdir(path, mode) < 0 || chmod(path, mode) < 0) fail(path);
}

/* One file system with a bound on bytes and on files for everything inside that is writable and not a directory of the host's. */
static void make_scratch(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) fail("mount propagation");
  if (mount("tmpfs", options.scratch, "tmpfs", MS_NOSUID | MS_NODEV, options.scratch_options) < 0) fail("scratch file system");
  make_directory("tmp", 01777);
  make_directory("shm", 01777);
  make_directory("workspace", 0755);
  make_directory("proc", 0555);
}

static void limit(int resource, unsigned long most) {
  struct rlimit now;
  if (getrlimit(resource, &now) < 0) fail("getrlimit");
  struct rlimit wanted = {.rlim_cur = most, .rlim_max = most};
  if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most) wanted.rlim_cur = wanted.rlim_max = now.rlim_max;
  if (setrlimit(resource, &wanted) < 0) fail("setrlimit");
}

/* from the word of the gateway on, the end of stage 2 is waited for and its code repeated */
static volatile sig_atomic_t waiting;

/* The polite end: kill what runs, and exit only when the kernel has reaped all of it. */
static void on_terminate(int number) {
  if (waiting) {
    kill(child, SIGKILL);
    return;
  }
  end_child();
  _exit(128 + number);
}

static void mask_terminate(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  if (sigprocmask(how, &set, NULL) < 0) fail("sigprocmask");
}

static _Noreturn void stage_two(int alive, char **argv) {
  mask_terminate(SIG_UNBLOCK);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("parent death signal");
  /* getppid() is 0 across the namespace; only the parent holds the pipe's other end, so a hang-up means that it died */
  struct pollfd parent = {.fd = alive, .events = 0};
  if (poll(&parent, 1, 0) != 0) refuse("the parent is gone");
  if (options.watched_bytes != 0) {
    char path[4096];
    snprintf(path, sizeof path, "%s/proc", options.scratch);
    if (mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) fail("proc of the sandbox");
  }
  /* bubblewrap looks its child up in /proc by a pid of this namespace: in the host's, that pid is somebody else's, or nobody's */
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) fail("proc of the sandbox");
  limit(RLIMIT_CORE, 0);
  if (options.files != 0) limit(RLIMIT_NOFILE, options.files);
  if (options.processes != 0) {
    /* after the unshare: counted per user namespace, not per uid of the host */
    limit(RLIMIT_NPROC, options.processes);
    /* per pid namespace since Linux 6.14, where its owner may set it (a second bound; numbering starts again at 300);
       before that it is the host's, which we may not write */
    char most[32];
    snprintf(most, sizeof most, "%lu", 300 + options.processes);
    (void)write_text("/proc/sys/kernel/pid_max", most);
  }
  if (options.has_cpus && sched_setaffinity(0, sizeof options.cpus, &options.cpus) < 0) fail("cpu affinity");
  for (int i = 0; i < options.kept_count; i++)
    if (fcntl(options.kept[i], F_SETFD, 0) < 0) fail("an inherited descriptor");
  char *const empty[] = {NULL};
  execve(argv[0], argv, empty);
  fail(argv[0]);
}

/*
 * Stage 2 gets ready while the network is made and handed over: it mounts, and ends in an init that does nothing before the host has
 * greeted it, which is after the word to start. Until then it has no way out either, for nobody takes from the listening sockets.
 * When that word does not come, it goes with this process.
 */
static void start_stage_two(char **argv) {
  int alive[2];
  if (pipe2(alive, O_CLOEXEC) < 0) fail("pipe");
  mask_terminate(SIG_BLOCK);
  child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    close(alive[1]);
    stage_two(alive[0], argv);
  }
  struct sigaction action = {.sa_handler = on_terminate};
  if (sigaction(SIGTERM, &action, NULL) < 0) fail("sigaction");
  mask_terminate(SIG_UNBLOCK);
  /* what is stage 2's must close when it ends */
  for (int i = 0; i < options.kept_count; i++) close(options.kept[i]);
  close(alive[0]);
}

static void hand_over_network(void) {
  network_up(options.port_count > 0);
  for (int i = 0; i < options.port_count; i++) channel_add_socket(listen_tcp(options.ports[i]), options.ports[i]);
  if (options.port_count > 0) channel_add_socket(listen_dns(), 0);
  channel_hand_over();
  channel_wait_go();
  channel_close();
}

static int wait_for_stage_two(void) {
  bool over = false;
  waiting = 1;
  if (options.watched_bytes != 0) {
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd < 0) fail("pidfd_open");
    char proc[4096];
    snprintf(proc, sizeof proc, "%s/proc", options.scratch);
    over = watch_memory(child, pidfd, proc, options.scratch, options.watched_bytes);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail("waitpid");
  if (over) return EXIT_MEMORY;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
  int command = parse(argc, argv);
  die_with_parent();
  if (getuid() == 0 || geteuid() == 0) refuse("refusing to run a sandbox as uid 0");
  /* whatever else was inherited stays out of the sandbox */
  if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0) fail("close_range");
  channel_open(options.channel);
  join_groups();
  make_namespaces();
  die_with_parent();
  make_scratch();
  start_stage_two(argv + command);
  hand_over_network();
  return wait_for_stage_two();
}
