/* See launcher.h. Ends when agentkernel does; what it started ends with it, by the parent-death signal that stage 1 asks for. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FD_CHANNEL = 3, FD_REQUESTS = 4 };

static int epoll_fd = -1;
static struct child *children;
/* what has ended, until no event can speak of it any more */
static struct child *ended;

_Noreturn void refuse(const char *what) {
  dprintf(2, "launcher: %s\n", what);
  _exit(EXIT_FAILED);
}

_Noreturn void fail(const char *what) {
  dprintf(2, "launcher: %s: %s\n", what, strerror(errno));
  _exit(EXIT_FAILED);
}

static void watch(int fd, struct watch *watch) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll");
}

static struct child *find(uint32_t id) {
  for (struct child *child = children; child != NULL; child = child->next)
    if (child->id == id) return child;
  return NULL; /* it ended while the request was on its way */
}

/* Taken out by hand: what a child that was just forked still holds a copy of would go on to be told of. */
static void close_one(int *fd) {
  if (*fd < 0) return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  close(*fd);
  *fd = -1;
}

static void tell_failure(uint32_t id) {
  char said[128];
  int length = snprintf(said, sizeof said, "launcher: %s", strerror(errno));
  node_send_end(id, EXIT_FAILED, 0, said, (size_t)length);
}

void child_start(uint32_t id, const struct start *start) {
  struct child *child = calloc(1, sizeof *child);
  if (child == NULL) fail("memory");
  int init = -1;
  child->id = id;
  child->pid = start_child(start, &child->control, &child->errors, &init);
  if (child->pid < 0) {
    tell_failure(id);
    free(child);
    return;
  }
  child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
  if (child->pidfd < 0) {
    /* its end would not be seen: better none than one that nobody waits for */
    tell_failure(id);
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) continue;
    close(init);
    close(child->control);
    close(child->errors);
    free(child);
    return;
  }
  child->control_watch = (struct watch){WATCHED_CONTROL, child};
  child->said_watch = (struct watch){WATCHED_SAID, child};
  child->end_watch = (struct watch){WATCHED_END, child};
  watch(child->control, &child->control_watch);
  watch(child->errors, &child->said_watch);
  watch(child->pidfd, &child->end_watch);
  child->next = children;
  children = child;
  node_send_init(id, init);
  close(init);
}

void child_go(uint32_t id) {
  struct child *child = find(id);
  if (child == NULL || child->control < 0) return;
  /* stage 1 that is gone is told by its end */
  (void)send(child->control, "go", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
  close_one(&child->control);
}

void child_signal(uint32_t id, int number) {
  struct child *child = find(id);
  /* the whole group; a child that has not made its own yet is alone */
  if (child != NULL && kill(-child->pid, number) < 0) kill(child->pid, number);
}

static void keep(struct child *child, const char *text, size_t length) {
  if (length > MAX_SAID) {
    text += length - MAX_SAID;
    length = MAX_SAID;
  }
  if (child->said_length + length > MAX_SAID) {
    size_t dropped = child->said_length + length - MAX_SAID;
    child->said_length -= dropped;
    memmove(child->said, child->said + dropped, child->said_length);
  }
  memcpy(child->said + child->said_length, text, length);
  child->said_length += length;
}

void child_refused(uint32_t id) {
  static const char why[] = "agentkernel did not take a socket: Too many open files\n";
  struct child *child = find(id);
  if (child == NULL) return;
  keep(child, why, sizeof why - 1);
  child_signal(id, SIGKILL);
}

/* Its listening sockets, all in one packet: two bytes of port each, 0 for the name service. */
static void read_control(struct child *child) {
  uint8_t ports[2 * MAX_SOCKETS + 1];
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * MAX_SOCKETS)];
  } control;
  struct iovec io = {.iov_base = ports, .iov_len = sizeof ports};
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  ssize_t got = recvmsg(child->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  struct cmsghdr *first = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  int sockets[MAX_SOCKETS];
  size_t count = 0;
  if (first != NULL && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS) {
    count = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(sockets, CMSG_DATA(first), count * sizeof(int));
  }
  /* one byte beside the ports: a packet without sockets is a message too */
  bool whole = got == (ssize_t)(2 * count) + 1 && (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t port;
    memcpy(&port, ports + 2 * i, sizeof port);
    if (whole) node_send_listener(child->id, sockets[i], port);
    close(sockets[i]);
  }
  if (whole) {
    node_send_ready(child->id);
    return;
  }
  if (got > 0) child_refused(child->id);
  close_one(&child->control);
}

static void read_said(struct child *child) {
  char text[4096];
  for (;;) {
    ssize_t got = read(child->errors, text, sizeof text);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) break;
    keep(child, text, (size_t)got);
  }
  close_one(&child->errors);
}

static void reap(struct child *child) {
  int status;
  if (waitpid(child->pid, &status, WNOHANG) != child->pid) return;
  if (child->errors >= 0) read_said(child);
  bool signalled = WIFSIGNALED(status);
  node_send_end(child->id, signalled ? 0 : WEXITSTATUS(status), signalled ? WTERMSIG(status) : 0, child->said, child->said_length);
  close_one(&child->control);
  close_one(&child->errors);
  close_one(&child->pidfd);
  child->pid = 0;
  struct child **link = &children;
  while (*link != child) link = &(*link)->next;
  *link = child->next;
  child->next = ended;
  ended = child;
}

static void dispatch(struct watch *watch) {
  struct child *child = watch->child;
  switch (watch->what) {
    case WATCHED_REQUESTS:
      if (!requests_read(FD_REQUESTS)) _exit(0);
      break;
    case WATCHED_CHANNEL:
      if (!node_read()) _exit(0);
      break;
    case WATCHED_CONTROL:
      if (child->control >= 0) read_control(child);
      break;
    case WATCHED_SAID:
      if (child->errors >= 0) read_said(child);
      break;
    case WATCHED_END:
      if (child->pid != 0) reap(child);
      break;
  }
}

int main(int argc, char **argv) {
  if (argc != 3 || strcmp(argv[1], "--parent") != 0) refuse("usage: launcher --parent PID");
  /* tied to the parent's thread and lost if it died before the call: so look afterwards */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("parent death signal");
  if (getppid() != (pid_t)strtol(argv[2], NULL, 10)) refuse("the parent is gone");
  if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0) fail("close_range");
  static struct watch requests = {WATCHED_REQUESTS, NULL}, channel = {WATCHED_CHANNEL, NULL};
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll");
  node_open(FD_CHANNEL);
  watch(FD_CHANNEL, &channel);
  watch(FD_REQUESTS, &requests);
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll_fd, events, 64, -1);
    if (count < 0 && errno != EINTR) fail("epoll");
    for (int i = 0; i < count; i++) dispatch(events[i].data.ptr);
    while (ended != NULL) {
      struct child *child = ended;
      ended = child->next;
      free(child);
    }
  }
}
