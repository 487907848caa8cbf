/* Node's IPC channel: one JSON text a line, a socket as ancillary data of its line (lib/internal/child_process.js). */
#define _GNU_SOURCE
#include "net-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel = -1;
static char pending[512];
static size_t pending_length;

void channel_open(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) fail("channel");
  channel = fd;
}

void channel_close(void) {
  if (channel >= 0) close(channel);
  channel = -1;
}

/* One line without its newline. The end of the stream means that the gateway is gone: nothing may run then. */
static void read_line(char *line, size_t size) {
  for (;;) {
    char *end = memchr(pending, '\n', pending_length);
    if (end != NULL) {
      size_t length = (size_t)(end - pending);
      if (length >= size) refuse("a message on the channel is too long");
      memcpy(line, pending, length);
      line[length] = '\0';
      pending_length -= length + 1;
      memmove(pending, end + 1, pending_length);
      return;
    }
    if (pending_length == sizeof pending) refuse("a message on the channel is too long");
    ssize_t got = recv(channel, pending + pending_length, sizeof pending - pending_length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("channel");
    if (got == 0) refuse("the channel was closed before the word to start");
    pending_length += (size_t)got;
  }
}

/* MSG_NOSIGNAL: a vanished gateway is an exit code, not a SIGPIPE. */
static void send_all(const char *text, size_t length, int passed) {
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
    if (sent < 0) fail("channel");
    io.iov_base = (char *)io.iov_base + sent;
    io.iov_len -= (size_t)sent;
    message.msg_control = NULL;
    message.msg_controllen = 0;
  }
}

void channel_send_socket(int socket, const char *type_fields, const char *message) {
  char line[256];
  int length = snprintf(line, sizeof line, "{\"cmd\":\"NODE_HANDLE\",%s,\"msg\":%s}\n", type_fields, message);
  if (length < 0 || (size_t)length >= sizeof line) refuse("message too long");
  send_all(line, (size_t)length, socket);
  /* without the acknowledgement Node has not taken the socket (it may be out of descriptors), and nobody would answer on it */
  char answer[256];
  read_line(answer, sizeof answer);
  if (strcmp(answer, "{\"cmd\":\"NODE_HANDLE_ACK\"}") != 0) refuse("the gateway did not take a listening socket");
  close(socket);
}

void channel_send_ready(void) {
  static const char ready[] = "{\"ready\":1}\n";
  send_all(ready, sizeof ready - 1, -1);
}

void channel_wait_go(void) {
  char line[256];
  read_line(line, sizeof line);
  if (strcmp(line, "{\"go\":1}") != 0) refuse("the gateway did not give the word to start");
}
