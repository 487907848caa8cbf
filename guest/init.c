/* Start, event loop, reaping and the end. See init.h for the parts. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_MARK_CLOEXEC 4u

#ifndef BUILD_ID
#define BUILD_ID "unversioned"
#endif

/* Work done between two looks at the events, so that no stream and no flood of children starves the rest. */
#define READS_PER_TURN 32
#define REAPS_PER_TURN 256
#define END_DEADLINE_MS 5000

int epoll_fd = -1;
static int signal_fd = -1;
static bool children_waiting;
static struct end channel_end, signal_end; /* only their addresses are used */

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Kills the children that the kernel lists for us; commands' orphans are ours too, as their subreaper. */
static void kill_children(void) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  /* a pid cut off by the end of the buffer is left for the next round */
  for (char *at = text, *space; (space = strchr(at, ' ')); at = space + 1) {
    int pid = atoi(at);
    if (pid > 1) kill(pid, SIGKILL);
  }
}

/* The end of the sandbox: nothing that was started here survives it. */
_Noreturn void terminate(int status) {
  if (getpid() == 1) {
    kill(-1, SIGKILL); /* only this pid namespace; the kernel does the same when its pid 1 ends */
    _exit(status);
  }
  for (unsigned i = 0; i < stream_count; i++)
    if (streams[i]->pid > 0) exec_signal(streams[i], SIGKILL);
  for (int64_t deadline = now_ms() + END_DEADLINE_MS; now_ms() < deadline;) {
    kill_children();
    pid_t pid;
    do pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0);
    if (pid < 0 && errno == ECHILD) break;
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
  }
  _exit(status);
}

_Noreturn void die(const char *reason) {
  dprintf(2, "agentkernel-init: %s\n", reason);
  terminate(70);
}

/* True when more may wait. Children that nobody here started cost no memory, only this call. */
static bool reap(void) {
  for (int i = 0; i < REAPS_PER_TURN; i++) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return false;
    exec_reaped(pid, status);
    if (!channel_has_room()) return true;
  }
  return true;
}

static void stream_event(struct end *end, uint32_t events) {
  if (end->fd < 0) return; /* closed earlier in this turn */
  if (end->role == ROLE_REPORT) {
    exec_report(end->stream);
  } else if (end->role == ROLE_SOURCE) {
    source_ready(end);
  } else if (end->stream->kind == KIND_DIAL && end->stream->state == STATE_STARTING) {
    dial_progress(end->stream);
  } else if (events & EPOLLERR) {
    sink_break(end);
  } else if (events & EPOLLOUT) {
    sink_flush(end);
  }
}

static void wait_for_events(int timeout_ms) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll_fd, events, 64, timeout_ms);
  if (count < 0 && errno != EINTR) die("epoll failed");
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == &channel_end) {
      if (events[i].events & ~(uint32_t)EPOLLOUT) channel_readable = true;
      if (events[i].events & ~(uint32_t)EPOLLIN) channel_writable = true;
    } else if (events[i].data.ptr == &signal_end) {
      struct signalfd_siginfo ignored[4];
      while (read(signal_fd, ignored, sizeof ignored) > 0) continue;
      children_waiting = true;
    } else {
      stream_event(events[i].data.ptr, events[i].events);
    }
  }
}

/* Lets the grace of ended commands run out; returns how long until the next one does, -1 for none. */
static int expire(void) {
  if (streams_ended == 0) return -1;
  int64_t now = now_ms(), next = -1;
  for (unsigned i = stream_count; i-- > 0;) {
    if (i >= stream_count) continue; /* settling removes streams */
    struct stream *stream = streams[i];
    if (stream->state != STATE_ENDED || stream->kind != KIND_EXEC) continue;
    if (stream->deadline_ms <= now) exec_settle(stream);
    else if (next < 0 || stream->deadline_ms - now < next) next = stream->deadline_ms - now;
  }
  return (int)next;
}

static _Noreturn void run(void) {
  for (;;) {
    channel_flush();
    bool room = channel_has_room();
    int deadline = room ? expire() : -1;
    bool busy = room && (children_waiting || sources_runnable() || channel_readable || channel_has_frames());
    wait_for_events(busy ? 0 : deadline);
    channel_read();
    if (children_waiting && channel_has_room()) children_waiting = reap();
    sources_run(READS_PER_TURN);
    streams_free_dead();
  }
}

static void add(int fd, uint32_t events, struct end *end) {
  struct epoll_event event = {.events = events, .data.ptr = end};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) die("cannot watch the channel: --fd names no open socket");
}

/* Descriptors that whoever started us left open must not reach a command. */
static void mark_close_on_exec(void) {
  if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_MARK_CLOEXEC) == 0) return;
  struct rlimit limit;
  int last = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
  for (int fd = 3; fd < last; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void prepare_process(void) {
  /* /proc/1/mem and ptrace are open to the same uid otherwise; exec resets it, so it is set here and not by the starter */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) die("cannot become non-dumpable");
  /* where we are not pid 1 (an exec connection of a container engine), orphans come to us all the same */
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0; fd = open("/dev/null", O_RDWR)) {
    if (fd < 3) continue; /* 0, 1 and 2 must be taken: dup2 in the child relies on it */
    close(fd);
    break;
  }
  mark_close_on_exec();
  for (int number = 1; number <= 64; number++)
    if (number != SIGCHLD && number != SIGSEGV && number != SIGBUS && number != SIGFPE && number != SIGILL && number != SIGABRT) signal(number, SIG_IGN);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("%d %s\n", PROTOCOL_VERSION, BUILD_ID);
    return 0;
  }
  char *rest = NULL;
  long fd = argc == 3 && strcmp(argv[1], "--fd") == 0 ? strtol(argv[2], &rest, 10) : -1;
  if (fd < 0 || fd > 1 << 20 || rest == argv[2] || *rest != 0) {
    fprintf(stderr, "usage: init --fd N\n");
    return 64;
  }
  channel_fd = (int)fd;
  prepare_process();
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child_signal, NULL);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  signal_fd = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  if (epoll_fd < 0 || signal_fd < 0 || fcntl(channel_fd, F_SETFL, O_NONBLOCK) != 0) die("cannot start: --fd names no open socket");
  add(channel_fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &channel_end);
  add(signal_fd, EPOLLIN, &signal_end);

  uint8_t hello[12 + 64] = {'A', 'K', 'I', 'N'};
  size_t id_length = strlen(BUILD_ID) < 64 ? strlen(BUILD_ID) : 64;
  put_u16(hello + 4, PROTOCOL_VERSION);
  put_u32(hello + 8, WINDOW);
  memcpy(hello + 12, BUILD_ID, id_length);
  channel_send(FRAME_HELLO, 0, 0, hello, (uint32_t)(12 + id_length));
  run();
}
