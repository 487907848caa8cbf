/*
 * Holds the memory of a sandbox where no cgroup does: adds up what its processes and its scratch file system occupy, and kills
 * it past the limit. `proc_path` is a proc of the sandbox's own pid namespace, so nothing inside can hide from the listing.
 */
#define _GNU_SOURCE
#include "net-helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALM_MS 100
#define BUSY_MS 20

struct usage {
  uint64_t anonymous, shared;
};

/* Sums the lines "NAME:   N kB" of one file below /proc/PID. */
static void add_fields(int directory, const char *pid, const char *file, const char *anonymous, const char *shared, struct usage *sum) {
  char path[300], text[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", pid, file) >= sizeof path) return;
  int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return;
  text[got] = '\0';
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (strncmp(line, anonymous, strlen(anonymous)) == 0) sum->anonymous += strtoull(line + strlen(anonymous), NULL, 10) * 1024;
    if (strncmp(line, shared, strlen(shared)) == 0) sum->shared += strtoull(line + strlen(shared), NULL, 10) * 1024;
  }
}

static struct usage measure(const char *proc_path, bool exact) {
  struct usage sum = {0, 0};
  DIR *directory = opendir(proc_path);
  if (directory == NULL) return sum;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    if (exact)
      add_fields(dirfd(directory), entry->d_name, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:", &sum);
    else
      add_fields(dirfd(directory), entry->d_name, "status", "RssAnon:", "RssShmem:", &sum);
  }
  closedir(directory);
  return sum;
}

static uint64_t occupied(const char *scratch_path) {
  struct statfs info;
  if (statfs(scratch_path, &info) < 0) return 0;
  return (uint64_t)(info.f_blocks - info.f_bfree) * (uint64_t)info.f_bsize;
}

bool watch_memory(pid_t child, int pidfd, const char *proc_path, const char *scratch_path, uint64_t limit) {
  int wait_ms = CALM_MS;
  for (;;) {
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int ready = poll(&ended, 1, wait_ms);
    if (ready > 0) return false;
    if (ready < 0) {
      if (errno == EINTR) continue;
      fail("poll");
    }
    struct usage cheap = measure(proc_path, false);
    uint64_t scratch = occupied(scratch_path);
    uint64_t total = cheap.anonymous + cheap.shared + scratch;
    wait_ms = total > limit / 2 ? BUSY_MS : CALM_MS;
    if (total <= limit) continue;
    /* pages shared by a fork or a mapping were counted once per process, and mapped scratch files twice: count exactly */
    struct usage exact = measure(proc_path, true);
    uint64_t shared = exact.shared > scratch ? exact.shared : scratch;
    /* smaps_rollup may be unreadable or too old for these fields: then the first figure has to do */
    if (exact.anonymous != 0 && exact.anonymous + shared <= limit) continue;
    kill(child, SIGKILL);
    return true;
  }
}
