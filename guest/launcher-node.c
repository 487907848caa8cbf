/* Node's IPC channel: one JSON text a line, a socket as ancillary data of its line (lib/internal/child_process.js). */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel = -1;
static char pending[512];
static size_t pending_length;

/* Whose socket each acknowledgement to come is about: Node answers every socket once, in order. */
static struct {
  uint32_t *ids;
  size_t first, count, room;
} unanswered;

void node_open(int fd) {
  /* Node always reads, so a full socket is waited for */
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) fail("channel");
  channel = fd;
}

static void expect_answer(uint32_t id) {
  if (unanswered.first > 0 && unanswered.first + unanswered.count == unanswered.room) {
    memmove(unanswered.ids, unanswered.ids + unanswered.first, unanswered.count * sizeof *unanswered.ids);
    unanswered.first = 0;
  }
  if (unanswered.count == unanswered.room) {
    unanswered.room = unanswered.room == 0 ? 64 : unanswered.room * 2;
    unanswered.ids = realloc(unanswered.ids, unanswered.room * sizeof *unanswered.ids);
    if (unanswered.ids == NULL) fail("memory");
  }
  unanswered.ids[unanswered.first + unanswered.count++] = id;
}

/* MSG_NOSIGNAL: a vanished agentkernel is an exit code, not a SIGPIPE. false: the kernel holds too many sockets that were sent and not
   yet taken, and would not have this one. */
static bool send_all(const char *text, size_t length, int passed) {
  struct iovec io = {.iov_base = (void *)text, .iov_len = length};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
  if (passed >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(first), &passed, sizeof passed);
  }
  while (io.iov_len > 0) {
    ssize_t sent = sendmsg(channel, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == ETOOMANYREFS) return false;
    if (sent < 0) fail("channel");
    io.iov_base = (char *)io.iov_base + sent;
    io.iov_len -= (size_t)sent;
    message.msg_control = NULL;
    message.msg_controllen = 0;
  }
  return true;
}

static void send_socket(uint32_t id, int socket, const char *type_fields, const char *what) {
  char line[256];
  int length = snprintf(line, sizeof line, "{\"cmd\":\"NODE_HANDLE\",%s,\"msg\":{\"sandbox\":%u,%s}}\n", type_fields, (unsigned)id, what);
  if (length < 0 || (size_t)length >= sizeof line) refuse("a message is too long");
  if (send_all(line, (size_t)length, socket)) expect_answer(id);
  else child_refused(id);
}

void node_send_init(uint32_t id, int socket) { send_socket(id, socket, "\"type\":\"net.Socket\"", "\"init\":1"); }

void node_send_listener(uint32_t id, int socket, uint16_t port) {
  char what[32];
  snprintf(what, sizeof what, "\"tcp\":%u", (unsigned)port);
  if (port == 0)
    send_socket(id, socket, "\"type\":\"dgram.Socket\",\"dgramType\":\"udp4\"", "\"dns\":53");
  else
    send_socket(id, socket, "\"type\":\"net.Server\"", what);
}

void node_send_ready(uint32_t id) {
  char line[64];
  int length = snprintf(line, sizeof line, "{\"sandbox\":%u,\"ready\":1}\n", (unsigned)id);
  send_all(line, (size_t)length, -1);
}

void node_send_end(uint32_t id, int code, int signal, const char *said, size_t length) {
  char line[128 + 6 * MAX_SAID];
  int at = snprintf(line, sizeof line, "{\"sandbox\":%u,\"ended\":{\"code\":%d,\"signal\":%d,\"said\":\"", (unsigned)id, code, signal);
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)said[i];
    if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f)
      at += snprintf(line + at, sizeof line - (size_t)at, "\\u%04x", byte);
    else
      line[at++] = (char)byte;
  }
  at += snprintf(line + at, sizeof line - (size_t)at, "\"}}\n");
  send_all(line, (size_t)at, -1);
}

static void answered(const char *line) {
  bool taken = strcmp(line, "{\"cmd\":\"NODE_HANDLE_ACK\"}") == 0;
  if (!taken && strcmp(line, "{\"cmd\":\"NODE_HANDLE_NACK\"}") != 0) refuse("an unknown message on the channel");
  if (unanswered.count == 0) refuse("an answer on the channel to nothing");
  uint32_t id = unanswered.ids[unanswered.first++];
  if (--unanswered.count == 0) unanswered.first = 0;
  /* out of descriptors, Node says so: nobody would answer on that socket */
  if (!taken) child_refused(id);
}

bool node_read(void) {
  ssize_t got = recv(channel, pending + pending_length, sizeof pending - pending_length, MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) return true;
    fail("channel");
  }
  if (got == 0) return false;
  pending_length += (size_t)got;
  for (;;) {
    char *end = memchr(pending, '\n', pending_length);
    if (end == NULL) break;
    *end = '\0';
    answered(pending);
    size_t length = (size_t)(end - pending) + 1;
    pending_length -= length;
    memmove(pending, pending + length, pending_length);
  }
  if (pending_length == sizeof pending) refuse("a message on the channel is too long");
  return true;
}
