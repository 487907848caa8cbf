/* One start. What waits (a path on a slow file system) does so in the child, where it holds up nobody else. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_content(const struct opened *opened) {
  int fd = memfd_create("agentkernel", MFD_CLOEXEC);
  if (fd < 0) return -1;
  for (uint32_t done = 0; done < opened->content_length;) {
    ssize_t written = write(fd, opened->content + done, opened->content_length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    done += (uint32_t)written;
  }
  return lseek(fd, 0, SEEK_SET) < 0 ? -1 : fd;
}

/* The path was judged by agentkernel, which still holds what it found there: anything else that stands there by now is refused. */
static int open_held(const struct opened *opened) {
  int fd = open(opened->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat found;
  if (fstat(fd, &found) < 0) return -1;
  if (found.st_dev != opened->device || found.st_ino != opened->inode) {
    dprintf(2, "launcher: %s was replaced by something else\n", opened->path);
    _exit(EXIT_FAILED);
  }
  return fd;
}

static int open_one(const struct opened *opened) {
  switch (opened->kind) {
    case 'c': return open_content(opened);
    case 'r': return open(opened->path, O_RDONLY | O_CLOEXEC);
    case 'w': return open(opened->path, O_WRONLY | O_CLOEXEC);
    case 'h': return open_held(opened);
    default: errno = EINVAL; return -1;
  }
}

static _Noreturn void child_fail(const char *what) {
  dprintf(2, "launcher: %s: %s\n", what, strerror(errno));
  _exit(EXIT_FAILED);
}

/* Moves a descriptor out of the way of the numbers that are about to be given out. */
static int aside(int fd, int above) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, above);
  if (moved < 0) child_fail("descriptor");
  return moved;
}

static _Noreturn void run_child(const struct start *start, int control, int init, int errors) {
  if (dup2(errors, 2) < 0) _exit(EXIT_FAILED);
  int above = FIRST_OPENED + start->opened_count, opened[MAX_OPENED];
  control = aside(control, above);
  init = aside(init, above);
  /* with our own rights: a sandbox's uid need not be able to */
  for (int i = 0; i < start->opened_count; i++) {
    int fd = open_one(&start->opened[i]);
    if (fd < 0) child_fail(start->opened[i].path == NULL ? "content of a file" : start->opened[i].path);
    opened[i] = aside(fd, above);
    close(fd);
  }
  if (dup2(control, FD_CONTROL) < 0 || dup2(init, FD_INIT) < 0) child_fail("descriptor");
  for (int i = 0; i < start->opened_count; i++)
    if (dup2(opened[i], FIRST_OPENED + i) < 0) child_fail("descriptor");
  if (syscall(SYS_close_range, (unsigned)above, ~0U, 0U) < 0) child_fail("close_range");
  if (setsid() < 0) child_fail("session");
  if (start->uid != UINT32_MAX && (setgroups(0, NULL) < 0 || setgid(start->gid) < 0 || setuid(start->uid) < 0)) child_fail("uid");
  char *const empty[] = {NULL};
  execve(start->argv[0], start->argv, empty);
  child_fail(start->argv[0]);
}

static void close_pair(int pair[2]) {
  int error = errno;
  for (int i = 0; i < 2; i++)
    if (pair[i] >= 0) close(pair[i]);
  errno = error;
}

pid_t start_child(const struct start *start, int *control, int *errors, int *init) {
  int controls[2] = {-1, -1}, inits[2] = {-1, -1}, said[2] = {-1, -1};
  pid_t pid = -1;
  /* a message of stage 1 is one packet with all its sockets */
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inits) == 0 &&
      pipe2(said, O_CLOEXEC) == 0)
    pid = fork();
  if (pid == 0) run_child(start, controls[1], inits[1], said[1]);
  if (pid < 0) {
    close_pair(controls);
    close_pair(inits);
    close_pair(said);
    return -1;
  }
  close(controls[1]);
  close(inits[1]);
  close(said[1]);
  fcntl(said[0], F_SETFL, O_NONBLOCK);
  *control = controls[0];
  *init = inits[0];
  *errors = said[0];
  return pid;
}
