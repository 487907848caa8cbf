/* The channel to the launcher, in packets: the listening sockets out, the word to start in. */
#define _GNU_SOURCE
#include "net-helper.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel is 253 */
#define MAX_SOCKETS 65

static int channel = -1;
static int sockets[MAX_SOCKETS];
static uint16_t ports[MAX_SOCKETS];
static size_t count;

void channel_open(int fd) { channel = fd; }

void channel_close(void) {
  if (channel >= 0) close(channel);
  channel = -1;
}

void channel_add_socket(int socket, uint16_t port) {
  if (count == MAX_SOCKETS) refuse("too many listening sockets");
  sockets[count] = socket;
  ports[count++] = port;
}

/* All in one packet: two bytes of port for each, and one more, so that a packet without sockets is one too. */
void channel_hand_over(void) {
  uint8_t text[sizeof ports + 1];
  size_t length = count * sizeof *ports;
  memcpy(text, ports, length);
  text[length++] = 0;
  struct iovec io = {.iov_base = text, .iov_len = length};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof sockets)];
  } control;
  struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(count * sizeof *sockets);
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    first->cmsg_level = SOL_SOCKET;
    first->cmsg_type = SCM_RIGHTS;
    first->cmsg_len = CMSG_LEN(count * sizeof *sockets);
    memcpy(CMSG_DATA(first), sockets, count * sizeof *sockets);
  }
  /* MSG_NOSIGNAL: a vanished launcher is an exit code, not a SIGPIPE */
  ssize_t sent;
  do sent = sendmsg(channel, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent != (ssize_t)length) fail("channel");
  for (size_t i = 0; i < count; i++) close(sockets[i]);
}

/* It comes when the gateway has taken every socket. The end of the stream means that agentkernel is gone: nothing may run then. */
void channel_wait_go(void) {
  char word[8];
  ssize_t got;
  do got = recv(channel, word, sizeof word, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) fail("channel");
  if (got == 0) refuse("the channel was closed before the word to start");
  if (got != 2 || memcmp(word, "go", 2) != 0) refuse("the gateway did not give the word to start");
}
