/* What hostile code in a sandbox tries: each argument names an attempt, one line "NAME RESULT" answers it. Each runs in a child. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *strerrorname(int error) {
  switch (error) {
#define NAME(name) case name: return #name;
    NAME(EPERM) NAME(ENOENT) NAME(ESRCH) NAME(EACCES) NAME(EROFS) NAME(EINVAL) NAME(ENOSYS) NAME(EAFNOSUPPORT) NAME(ECONNREFUSED)
    NAME(EPROTONOSUPPORT) NAME(ESOCKTNOSUPPORT) NAME(EADDRINUSE) NAME(ENETUNREACH) NAME(EAGAIN) NAME(EBADF) NAME(ENXIO) NAME(ENODEV)
    NAME(EFAULT) NAME(ENOTTY) NAME(EIO) NAME(EISDIR) NAME(ENOTDIR) NAME(EUSERS) NAME(ENOSPC) NAME(EHOSTUNREACH) NAME(EOPNOTSUPP) NAME(ENOPROTOOPT)
    default: return "other";
  }
}

static long call(long number, long a, long b, long c, long d, long e) { return syscall(number, a, b, c, d, e); }

static long try_socket(int family, int type, int protocol) {
  int fd = socket(family, type, protocol);
  if (fd >= 0) close(fd);
  return fd < 0 ? -1 : 0;
}

static long try_open(const char *path, int flags) {
  int fd = open(path, flags | O_NONBLOCK);
  if (fd < 0) return -1;
  char byte;
  if ((flags & O_ACCMODE) == O_RDONLY && read(fd, &byte, 1) <= 0 && errno != 0) return -1;
  return 0;
}

static long try_tiocsti(void) {
  char character = 'x';
  return ioctl(0, TIOCSTI, &character);
}

static long try_tioclinux(void) {
  /* 3: paste the selection, as if it were typed */
  char subcode = 3;
  return ioctl(0, TIOCLINUX, &subcode);
}

static long try_tiocsetd(void) {
  int discipline = 0;
  return ioctl(0, TIOCSETD, &discipline);
}

static long try_route(void) {
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
  } request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWROUTE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
               .route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_BLACKHOLE, .rtm_dst_len = 32}};
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (fd < 0 || send(fd, &request, sizeof request, 0) < 0) return -1;
  union {
    struct nlmsghdr header;
    char room[512];
  } answer;
  if (recv(fd, &answer, sizeof answer, 0) < 0) return -1;
  errno = -((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
  return errno == 0 ? 0 : -1;
}

static long try_interface(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) return -1;
  request.ifr_flags &= (short)~IFF_UP;
  return ioctl(fd, SIOCSIFFLAGS, &request);
}

static long try_bind(uint16_t port, int type) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, fd = socket(AF_INET, type, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  return bind(fd, (struct sockaddr *)&name, sizeof name);
}

static long try_udp(const char *address, uint16_t port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = inet_addr(address)}};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval wait = {.tv_usec = 300000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0 || send(fd, "canary", 6, 0) < 0) return -1;
  char byte;
  return recv(fd, &byte, 1, 0) < 0 ? -1 : 0;
}

static long try_udp6(const char *address, uint16_t port) {
  struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  inet_pton(AF_INET6, address, &name.sin6_addr);
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  struct timeval wait = {.tv_usec = 300000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0 || send(fd, "canary", 6, 0) < 0) return -1;
  char byte;
  return recv(fd, &byte, 1, 0) < 0 ? -1 : 0;
}

/* without any library's resolver or HTTP client, as Go's and Rust's static programs do it */
static long try_tcp(const char *address, uint16_t port) {
  static const char request[] = "GET / HTTP/1.0\r\n\r\n";
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } name = {0};
  bool is_six = strchr(address, ':') != NULL;
  if (is_six) name.six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
  else name.four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(is_six ? AF_INET6 : AF_INET, address, is_six ? (void *)&name.six.sin6_addr : (void *)&name.four.sin_addr) != 1) {
    errno = EINVAL;
    return -1;
  }
  int fd = socket(name.any.sa_family, SOCK_STREAM, 0);
  if (connect(fd, &name.any, is_six ? sizeof name.six : sizeof name.four) < 0) return -1;
  if (send(fd, request, sizeof request - 1, 0) < 0) return -1;
  char byte;
  return recv(fd, &byte, 1, 0) == 1 ? 0 : -1;
}

static long try_xattr(const char *name) {
  int fd = open("/tmp/marked", O_WRONLY | O_CREAT, 0600);
  if (fd < 0) return -1;
  /* what security.capability has to look like: version 2, nothing permitted */
  static const unsigned char value[20] = {0, 0, 0, 2};
  return fsetxattr(fd, name, value, sizeof value, 0);
}

/* one datagram of the echo request that an unprivileged ping sends */
static long try_ping(const char *address) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {.s_addr = inet_addr(address)}};
  unsigned char echo[16] = {8};
  int fd = socket(AF_INET, SOCK_DGRAM, 1);
  struct timeval wait = {.tv_usec = 300000};
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (sendto(fd, echo, sizeof echo, 0, (struct sockaddr *)&name, sizeof name) < 0) return -1;
  return recv(fd, echo, sizeof echo, 0) < 0 ? -1 : 0;
}

/* the name is given as abstract:NAME */
static long try_abstract(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path + 1, name, strlen(name));
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static long int80(void) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
  return 0;
#else
  raise(SIGSYS);
  return 0;
#endif
}

static long x32(void) {
#ifdef __x86_64__
  return syscall(0x40000000 | 39);
#else
  raise(SIGSYS);
  return 0;
#endif
}

static char child_stack[16384];
static int nothing(void *ignored) {
  (void)ignored;
  return 0;
}

/* what stands before the comma of ADDRESS,PORT */
static const char *address_of(const char *rest) {
  static char address[64];
  size_t length = strcspn(rest, ",");
  memset(address, 0, sizeof address);
  memcpy(address, rest, length < sizeof address ? length : sizeof address - 1);
  return address;
}

static long attempt(const char *name) {
  const char *colon = strchr(name, ':');
  const char *rest = colon == NULL ? "" : colon + 1;
#define IS(text) if (strncmp(name, text, strlen(text)) == 0 && (name[strlen(text)] == '\0' || name[strlen(text)] == ':'))
  IS("mount") return mount("none", "/tmp", "tmpfs", 0, "");
  IS("remount") return mount("none", "/", NULL, MS_REMOUNT | MS_BIND, "");
  IS("umount") return umount2("/proc/sys", MNT_DETACH);
  IS("pivot_root") return call(SYS_pivot_root, (long)"/tmp", (long)"/tmp", 0, 0, 0);
  IS("chroot") return chroot("/tmp");
  IS("fsopen") return call(430, (long)"tmpfs", 0, 0, 0, 0);
  IS("open_tree") return call(428, AT_FDCWD, (long)"/", 1, 0, 0);
  IS("move_mount") return call(429, AT_FDCWD, (long)"/tmp", AT_FDCWD, (long)"/home", 0);
  IS("mount_setattr") return call(442, AT_FDCWD, (long)"/", 0, 0, 0);
  IS("setns") return setns(0, 0);
  IS("unshare_user") return unshare(CLONE_NEWUSER);
  IS("unshare_net") return unshare(CLONE_NEWNET);
  IS("unshare_mount") return unshare(CLONE_NEWNS);
  IS("unshare_files") return unshare(CLONE_FILES);
  IS("clone_user") return clone(nothing, child_stack + sizeof child_stack, CLONE_NEWUSER | SIGCHLD, NULL);
  IS("clone_net") return clone(nothing, child_stack + sizeof child_stack, CLONE_NEWNET | SIGCHLD, NULL);
  IS("clone3") return call(435, 0, 0, 0, 0, 0);
  IS("io_uring_setup") return call(425, 1, 0, 0, 0, 0);
  IS("bpf") return call(SYS_bpf, 0, 0, 0, 0, 0);
  IS("perf_event_open") return call(SYS_perf_event_open, 0, 0, -1, -1, 0);
  IS("userfaultfd") return call(SYS_userfaultfd, 0, 0, 0, 0, 0);
  IS("add_key") return call(SYS_add_key, (long)"user", (long)"k", (long)"v", 1, -3);
  IS("keyctl") return call(SYS_keyctl, 0, -3, 0, 0, 0);
  IS("open_by_handle_at") return call(SYS_open_by_handle_at, -1, 0, 0, 0, 0);
  IS("kexec_load") return call(SYS_kexec_load, 0, 0, 0, 0, 0);
  IS("init_module") return call(SYS_init_module, 0, 0, (long)"", 0, 0);
  IS("reboot") return call(SYS_reboot, 0, 0, 0, 0, 0);
  IS("swapon") return call(SYS_swapon, (long)"/tmp/x", 0, 0, 0, 0);
  IS("settimeofday") return call(SYS_settimeofday, 0, 0, 0, 0, 0);
  IS("sethostname") return sethostname("x", 1);
  IS("syslog") return call(SYS_syslog, 3, (long)child_stack, 100, 0, 0);
  IS("process_vm_readv") return call(SYS_process_vm_readv, 1, 0, 0, 0, 0);
  IS("pidfd_getfd") return call(438, 0, 0, 0, 0, 0);
  IS("personality") return call(SYS_personality, 0x0008 /* PER_LINUX32 */, 0, 0, 0, 0);
  IS("int80") return int80();
  IS("x32") return x32();
  IS("ptrace_init") return ptrace(PTRACE_ATTACH, 1, NULL, NULL);
  IS("ptrace_self") return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  IS("kill_init") return kill(1, SIGKILL);
  IS("stop_init") return kill(1, SIGSTOP);
  IS("tiocsti") return try_tiocsti();
  IS("tioclinux") return try_tioclinux();
  IS("tiocsetd") return try_tiocsetd();
  IS("xattr") return try_xattr(rest);
  IS("mknod_block") return mknod("/tmp/block", S_IFBLK | 0600, makedev(8, 0));
  IS("mknod_char") return mknod("/tmp/char", S_IFCHR | 0600, makedev(1, 1));
  IS("setuid") return setuid(0);
  IS("chown_root") return chown("/tmp", 0, 0);
  IS("oom_score") return try_open("/proc/self/oom_score_adj", O_WRONLY) < 0 ? -1 : (write(open("/proc/self/oom_score_adj", O_WRONLY), "-1000", 5) < 0 ? -1 : 0);
  IS("vsock") return try_socket(40, SOCK_STREAM, 0);
  IS("packet") return try_socket(17, SOCK_RAW, htons(3));
  IS("alg") return try_socket(38, SOCK_SEQPACKET, 0);
  IS("raw") return try_socket(AF_INET, SOCK_RAW, 1);
  IS("ping") return try_ping(rest);
  IS("protocol") return try_socket(AF_INET, SOCK_STREAM, atoi(rest));
  IS("protocol6") return try_socket(AF_INET6, SOCK_STREAM, atoi(rest));
  IS("datagram") return try_socket(AF_INET, SOCK_DGRAM, atoi(rest));
  IS("netlink_audit") return try_socket(AF_NETLINK, SOCK_RAW, 9);
  IS("netlink_route") return try_socket(AF_NETLINK, SOCK_RAW, 0);
  IS("bluetooth") return try_socket(31, SOCK_RAW, 0);
  IS("unix") return try_socket(AF_UNIX, SOCK_STREAM, 0);
  IS("route") return try_route();
  IS("interface_down") return try_interface();
  IS("bind") return try_bind((uint16_t)atoi(rest), SOCK_STREAM);
  IS("bind_udp") return try_bind((uint16_t)atoi(rest), SOCK_DGRAM);
  IS("udp") return try_udp(address_of(rest), (uint16_t)atoi(strchr(rest, ',') + 1));
  IS("udp6") return try_udp6(address_of(rest), (uint16_t)atoi(strchr(rest, ',') + 1));
  IS("tcp") return try_tcp(address_of(rest), (uint16_t)atoi(strchr(rest, ',') + 1));
  IS("abstract") return try_abstract(rest);
  IS("read") return try_open(rest, O_RDONLY);
  IS("write") return try_open(rest, O_WRONLY);
  IS("create") return try_open(rest, O_WRONLY | O_CREAT);
  errno = EINVAL;
  return -2;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      errno = 0;
      long result = attempt(argv[i]);
      int error = errno;
      if (result == -2) printf("%s unknown\n", argv[i]);
      else printf("%s %s\n", argv[i], result < 0 ? strerrorname(error) : "ok");
      fflush(stdout);
      _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s SIG%d\n", argv[i], WTERMSIG(status));
  }
  return 0;
}
