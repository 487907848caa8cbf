/* A TCP connection to the sandbox's own loopback: 127.0.0.1, or ::1 where only that listens (many servers bind "localhost"). */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Returns 0, or errno when the connection can not even be begun. */
static int begin(struct stream *stream) {
  int fd = socket(stream->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int on = 1, result;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (stream->ipv6) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(stream->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    result = connect(fd, (struct sockaddr *)&address, sizeof address);
  } else {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(stream->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    result = connect(fd, (struct sockaddr *)&address, sizeof address);
  }
  int error = result == 0 || errno == EINPROGRESS ? 0 : errno;
  /* registered only now: a socket that was never connected reports a hangup */
  if (error == 0 && !end_open(&stream->sink, fd)) die("epoll is full");
  if (error) close(fd);
  return error;
}

/* Tries the other address after a refusal, else gives up. The sink is closed here. */
static void refused(struct stream *stream, int error) {
  while (error) {
    if (error != ECONNREFUSED || stream->ipv6) {
      /* what counts is why 127.0.0.1 failed, not that this kernel has no IPv6 */
      channel_send_failed(stream->id, STAGE_CONNECT, stream->ipv6 ? ECONNREFUSED : error);
      stream_remove(stream);
      return;
    }
    stream->ipv6 = true;
    error = begin(stream);
  }
}

void dial_start(uint32_t id, uint16_t port) {
  struct stream *stream = stream_new(id, KIND_DIAL);
  if (!stream) {
    channel_send_failed(id, STAGE_RESOURCES, EMFILE);
    return;
  }
  stream->port = port;
  refused(stream, begin(stream));
}

/* The socket of a connection that is being made became writable or failed. */
void dial_progress(struct stream *stream) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(stream->sink.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error) {
    /* what the host sent early stays queued for the second try */
    end_close_fd(&stream->sink);
    refused(stream, error);
    return;
  }
  int fd = fcntl(stream->sink.fd, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) {
    channel_send_failed(stream->id, STAGE_RESOURCES, errno);
    stream_remove(stream);
    return;
  }
  stream->state = STATE_RUNNING;
  channel_send_u32(FRAME_STARTED, 0, stream->id, 0);
  if (!end_open(&stream->source[0], fd)) die("epoll is full");
  sink_flush(&stream->sink);
}

/* The connection is over when neither direction can pass bytes any more. */
void dial_settle(struct stream *stream) {
  if (stream->state != STATE_RUNNING || stream->sink.fd >= 0 || stream->source[0].fd >= 0) return;
  stream->state = STATE_ENDED;
  channel_send(FRAME_CLOSED, 0, stream->id, NULL, 0);
  stream_remove(stream);
}

/* The host drops it: the peer sees a reset, as from any program that dies with unread data. */
void dial_abort(struct stream *stream) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  int fd = stream->sink.fd >= 0 ? stream->sink.fd : stream->source[0].fd;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  stream->state = STATE_ENDED;
  channel_send(FRAME_CLOSED, 0, stream->id, NULL, 0);
  stream_remove(stream);
}
