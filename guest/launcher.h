/*
 * The launcher starts the processes of sandboxes for agentkernel, whose own memory is so large that each fork of it would take
 * milliseconds in which nothing else of it runs. One for all sandboxes, with the rights of agentkernel; it ends with it.
 *
 *   launcher.c            waits for requests, for what stage 1 says and for ends
 *   launcher-request.c    what agentkernel asks for: frames on a stream socket
 *   launcher-start.c      one start: a fork, its descriptors, its uid, stage 1
 *   launcher-node.c       Node's IPC channel: sockets and reports out, acknowledgements in
 */
#ifndef AGENTKERNEL_LAUNCHER_H
#define AGENTKERNEL_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXIT_FAILED 125
/* what stage 1 and bwrap said last, kept for the report of their end */
#define MAX_SAID 4096
/* listening sockets of one sandbox, SCM_MAX_FD of the kernel is 253 */
#define MAX_SOCKETS 65
/* descriptors of one start */
#define MAX_OPENED 256

/* "launcher: WHAT: strerror" on standard error, exit 125: agentkernel learns that everything has ended. */
_Noreturn void fail(const char *what);
_Noreturn void refuse(const char *what);

/* A start that was asked for, all pointers into the request. */
struct start {
  uint32_t uid, gid; /* UINT32_MAX: as we are */
  char **argv;
  /* opened in the child, in order, from descriptor FIRST_OPENED on */
  struct opened {
    char kind; /* content, reading, writing, held */
    const char *path;
    const uint8_t *content;
    uint32_t content_length;
    uint64_t device, inode; /* of a held path: what was judged */
  } opened[MAX_OPENED];
  int opened_count;
};

/* Descriptors of stage 1 beside 0, 1 and 2; src/backends/bubblewrap/stage-one.ts names the rest. */
enum { FD_CONTROL = 3, FD_INIT = 4, FIRST_OPENED = 5 };

enum watched { WATCHED_REQUESTS, WATCHED_CHANNEL, WATCHED_CONTROL, WATCHED_SAID, WATCHED_END };

struct child {
  uint32_t id;
  pid_t pid; /* 0: reaped */
  int pidfd, control, errors;
  struct watch {
    enum watched what;
    struct child *child;
  } control_watch, said_watch, end_watch;
  char said[MAX_SAID];
  size_t said_length;
  struct child *next;
};

/* launcher.c */
void child_start(uint32_t id, const struct start *start);
void child_go(uint32_t id);
void child_signal(uint32_t id, int number);
/* agentkernel did not get a socket that was sent to it for this child: it cannot be begun */
void child_refused(uint32_t id);

/* launcher-request.c: false at the end of the stream */
bool requests_read(int fd);

/* launcher-start.c: the pid, or -1 with errno; `init` is agentkernel's end of the init's socket, to be closed by the caller */
pid_t start_child(const struct start *start, int *control, int *errors, int *init);

/* launcher-node.c */
void node_open(int fd);
void node_send_init(uint32_t id, int socket);
void node_send_listener(uint32_t id, int socket, uint16_t port); /* port 0: the name service's datagram socket */
void node_send_ready(uint32_t id);
/* code, or signal where that is not 0 */
void node_send_end(uint32_t id, int code, int signal, const char *said, size_t length);
/* false at the end of the stream */
bool node_read(void);

#endif
