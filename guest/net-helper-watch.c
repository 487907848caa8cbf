/*
 * Holds the memory of a sandbox where no cgroup does: adds up what its processes, its scratch file system, its files of memory and its
 * shared segments occupy, and kills it past the limit. `proc_path` is a proc of the sandbox's own pid namespace, so nothing inside can
 * hide from the listing.
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
#include <sched.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALM_MS 100
#define BUSY_MS 20
/* Between two looks at what is resident, while descriptors are counted: of those a sandbox can have millions. */
#define LOOK_MS 25
#define LINKS_PER_LOOK 256

/* what is told apart; of more, one that is open twice counts twice */
#define MAX_FILES 8192

struct usage {
  uint64_t anonymous, shared;
};

static struct {
  const char *proc_path, *scratch_path;
  uint64_t limit;
  int64_t looked_ms;
  bool has_joined; /* its segments are listed for us, too */
} watched;

static ino_t seen[MAX_FILES];
static size_t seen_count;

static bool is_new(ino_t inode) {
  for (size_t i = 0; i < seen_count; i++)
    if (seen[i] == inode) return false;
  if (seen_count < MAX_FILES) seen[seen_count++] = inode;
  return true;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Segments of System V stay when nobody has them attached; they are listed for members of their namespace, so this process becomes one. */
static void join_segments(int directory, const char *pid, bool *joined) {
  char path[300];
  struct stat outside, inside;
  if ((size_t)snprintf(path, sizeof path, "%s/ns/ipc", pid) >= sizeof path) return;
  /* pid 1 is bwrap itself, which stays in the namespace that we are in */
  if (fstatat(directory, "1/ns/ipc", &outside, 0) < 0 || fstatat(directory, path, &inside, 0) < 0 || outside.st_ino == inside.st_ino) return;
  int namespace = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0) return;
  *joined = setns(namespace, CLONE_NEWIPC) == 0;
  close(namespace);
}

static uint64_t segments(const char *proc_path) {
  char path[4096], line[512];
  snprintf(path, sizeof path, "%s/sysvipc/shm", proc_path);
  FILE *list = fopen(path, "re");
  if (list == NULL) return 0;
  uint64_t sum = 0;
  unsigned long long resident, swapped;
  while (fgets(line, sizeof line, list) != NULL)
    if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &resident, &swapped) == 2) sum += resident + swapped;
  fclose(list);
  return sum;
}

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

/* What processes have in memory; `exact`: pages that several of them share count once. */
static struct usage residents(bool exact) {
  struct usage sum = {0, 0};
  DIR *directory = opendir(watched.proc_path);
  if (directory == NULL) return sum;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    if (exact)
      add_fields(dirfd(directory), entry->d_name, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:", &sum);
    else
      add_fields(dirfd(directory), entry->d_name, "status", "RssAnon:", "RssShmem:", &sum);
    if (!watched.has_joined) join_segments(dirfd(directory), entry->d_name, &watched.has_joined);
  }
  closedir(directory);
  watched.looked_ms = now_ms();
  return sum;
}

static uint64_t occupied(const char *scratch_path) {
  struct statfs info;
  if (statfs(scratch_path, &info) < 0) return 0;
  return (uint64_t)(info.f_blocks - info.f_bfree) * (uint64_t)info.f_bsize;
}

/* What processes have in memory, and the scratch file system, are alone more than the limit. */
static bool is_over(struct usage *cheap) {
  *cheap = residents(false);
  uint64_t scratch = occupied(watched.scratch_path);
  if (cheap->anonymous + cheap->shared + scratch <= watched.limit) return false;
  struct usage exact = residents(true);
  /* smaps_rollup may be unreadable or too old for these fields: then the first figure has to do */
  if (exact.anonymous == 0) return true;
  return exact.anonymous + (exact.shared > scratch ? exact.shared : scratch) > watched.limit;
}

/* Adds the files of memory of one process. True: it is over the limit meanwhile. */
static bool add_files(int directory, const char *pid, bool exact, uint64_t *sum) {
  char path[300], target[16];
  if ((size_t)snprintf(path, sizeof path, "%s/fd", pid) >= sizeof path) return false;
  int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *open_files = fd < 0 ? NULL : fdopendir(fd);
  if (open_files == NULL) {
    if (fd >= 0) close(fd);
    return false;
  }
  unsigned links = 0;
  bool over = false;
  for (struct dirent *entry = readdir(open_files); entry != NULL && !over; entry = readdir(open_files)) {
    struct usage cheap;
    if (++links % LINKS_PER_LOOK == 0 && now_ms() - watched.looked_ms >= LOOK_MS) over = is_over(&cheap);
    ssize_t length = readlinkat(fd, entry->d_name, target, sizeof target);
    struct stat info;
    if (length < 7 || memcmp(target, "/memfd:", 7) != 0 || fstatat(fd, entry->d_name, &info, 0) < 0) continue;
    if (!exact || is_new(info.st_ino)) *sum += (uint64_t)info.st_blocks * 512;
  }
  closedir(open_files);
  return over;
}

/* Files of memory and shared segments, whose pages need not be mapped by anybody. True: it is over the limit meanwhile. */
static bool count_files(bool exact, uint64_t *sum) {
  bool over = false;
  *sum = watched.has_joined ? segments(watched.proc_path) : 0;
  seen_count = 0;
  DIR *directory = opendir(watched.proc_path);
  if (directory == NULL) return false;
  for (struct dirent *entry = readdir(directory); entry != NULL && !over; entry = readdir(directory))
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') over = add_files(dirfd(directory), entry->d_name, exact, sum);
  closedir(directory);
  return over;
}

/* One round; how much there is goes into `total`. */
static bool is_past_limit(uint64_t *total) {
  struct usage cheap;
  uint64_t files;
  if (is_over(&cheap) || count_files(false, &files)) return true;
  *total = cheap.anonymous + cheap.shared + files + occupied(watched.scratch_path);
  if (*total <= watched.limit) return false;
  /* pages shared by a fork or a mapping were counted once per process, files once per descriptor, and mapped ones twice: count exactly */
  if (count_files(true, &files)) return true;
  struct usage exact = residents(true);
  uint64_t unmapped = occupied(watched.scratch_path) + files;
  uint64_t shared = exact.shared > unmapped ? exact.shared : unmapped;
  return exact.anonymous == 0 || exact.anonymous + shared > watched.limit;
}

bool watch_memory(pid_t child, int pidfd, const char *proc_path, const char *scratch_path, uint64_t limit) {
  watched.proc_path = proc_path;
  watched.scratch_path = scratch_path;
  watched.limit = limit;
  int wait_ms = CALM_MS;
  for (;;) {
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int ready = poll(&ended, 1, wait_ms);
    if (ready > 0) return false;
    if (ready < 0) {
      if (errno == EINTR) continue;
      fail("poll");
    }
    uint64_t total = 0;
    if (is_past_limit(&total)) {
      kill(child, SIGKILL);
      return true;
    }
    wait_ms = total > limit / 2 ? BUSY_MS : CALM_MS;
  }
}
