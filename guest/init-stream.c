/*
 * The bytes of one exec or dial. Both directions hold a window of WINDOW bytes: nobody sends what the other has not granted,
 * so a slow reader stops its own stream only, and memory is bounded. Sources take turns, one read each.
 */
#include "init.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

extern int epoll_fd;

struct stream *streams[MAX_STREAMS];
unsigned stream_count;
unsigned streams_ended;
static struct stream *dead;
static struct end run_queue = {.before = &run_queue, .after = &run_queue};

static void end_init(struct end *end, struct stream *stream, enum role role, enum channel channel) {
  end->stream = stream;
  end->fd = -1;
  end->role = role;
  end->channel = channel;
  end->credit = WINDOW;
}

/* Null when there is no room for another one. */
struct stream *stream_new(uint32_t id, enum kind kind) {
  if (stream_count == MAX_STREAMS && !streams_drop_detached()) return NULL;
  struct stream *stream = calloc(1, sizeof *stream);
  if (!stream) return NULL;
  stream->id = id;
  stream->kind = kind;
  stream->terminal = -1;
  end_init(&stream->sink, stream, ROLE_SINK, CHANNEL_IN);
  end_init(&stream->source[0], stream, ROLE_SOURCE, CHANNEL_OUT);
  end_init(&stream->source[1], stream, ROLE_SOURCE, CHANNEL_ERR);
  end_init(&stream->report, stream, ROLE_REPORT, CHANNEL_IN);
  streams[stream_count++] = stream;
  return stream;
}

struct stream *stream_find(uint32_t id) {
  for (unsigned i = 0; i < stream_count; i++)
    if (streams[i]->id == id) return streams[i];
  return NULL;
}

/* Closes everything; the memory lives to the end of the loop's turn, since events of this turn may still point at it. */
void stream_remove(struct stream *stream) {
  end_close(&stream->sink);
  end_close(&stream->source[0]);
  end_close(&stream->source[1]);
  end_close(&stream->report);
  if (stream->terminal >= 0) close(stream->terminal);
  for (unsigned i = 0; i < stream_count; i++) {
    if (streams[i] != stream) continue;
    memmove(&streams[i], &streams[i + 1], (stream_count - i - 1) * sizeof streams[0]);
    stream_count--;
    break;
  }
  stream->next_dead = dead;
  dead = stream;
}

void streams_free_dead(void) {
  while (dead) {
    struct stream *next = dead->next_dead;
    free(dead);
    dead = next;
  }
}

/* Makes room by closing the output of the oldest background process whose command has ended. */
bool streams_drop_detached(void) {
  for (unsigned i = 0; i < stream_count; i++) {
    if (streams[i]->state != STATE_DETACHED) continue;
    stream_remove(streams[i]);
    return true;
  }
  return false;
}

bool end_open(struct end *end, int fd) {
  struct epoll_event event = {.events = (end->role == ROLE_SINK ? EPOLLOUT : EPOLLIN) | EPOLLET, .data.ptr = end};
  end->fd = fd;
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void run_queue_remove(struct end *source) {
  if (!source->queued) return;
  source->before->after = source->after;
  source->after->before = source->before;
  source->queued = false;
}

/* Closes without a word to the host. */
void end_close(struct end *end) {
  run_queue_remove(end);
  free(end->queue);
  end->queue = NULL;
  end->queue_length = 0;
  end->finished = true;
  end_close_fd(end);
}

void end_close_fd(struct end *end) {
  if (end->fd < 0) return;
  /* the descriptor may be shared with a child that has not executed yet; epoll would go on reporting it */
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
  close(end->fd);
  end->fd = -1;
}

static void settle(struct stream *stream) {
  if (stream->kind == KIND_EXEC) exec_settle(stream);
  else dial_settle(stream);
}

/* ---- sources: descriptor to host ---- */

static void run_queue_add(struct end *source) {
  if (source->queued || source->fd < 0 || !source->ready || (source->credit == 0 && !source->discarding)) return;
  source->before = run_queue.before;
  source->after = &run_queue;
  source->before->after = source;
  run_queue.before = source;
  source->queued = true;
}

void source_ready(struct end *source) {
  source->ready = true;
  run_queue_add(source);
}

void source_credit(struct end *source, uint32_t bytes) {
  if (bytes == 0 || bytes > WINDOW - source->credit) die("more credit than the window");
  source->credit += bytes;
  run_queue_add(source);
}

/* Says the last word on a channel, EOF or RESET, and closes it. */
void source_finish(struct end *source, enum frame_type last) {
  if (!source->finished) channel_send(last, source->channel, source->stream->id, NULL, 0);
  end_close(source);
}

bool sources_runnable(void) { return run_queue.after != &run_queue; }

static void source_discard(struct end *source) {
  static uint8_t nowhere[MAX_DATA];
  ssize_t n = read(source->fd, nowhere, sizeof nowhere);
  if (n > 0) return;
  if (n < 0 && errno == EAGAIN) source->ready = false;
  else if (n == 0 || errno != EINTR) {
    end_close(source);
    exec_settle(source->stream);
  }
}

static void source_run(struct end *source) {
  uint32_t want = source->credit < MAX_DATA ? source->credit : MAX_DATA;
  ssize_t n = read(source->fd, channel_reserve(want), want);
  if (n > 0) {
    channel_commit(FRAME_DATA, source->channel, source->stream->id, (uint32_t)n);
    source->credit -= (uint32_t)n;
    source->must -= source->must < (uint32_t)n ? source->must : (uint32_t)n;
    if (source->stream->state == STATE_ENDED) settle(source->stream);
    return;
  }
  if (n < 0 && errno == EINTR) return;
  if (n < 0 && errno == EAGAIN) {
    source->ready = false;
    return;
  }
  /* EIO is how a pty says that its other side is closed */
  source_finish(source, n == 0 || errno == EIO ? FRAME_EOF : FRAME_RESET);
  settle(source->stream);
}

void sources_run(unsigned turns) {
  while (turns-- > 0 && sources_runnable() && channel_has_room()) {
    struct end *source = run_queue.after;
    run_queue_remove(source);
    if (source->discarding) source_discard(source);
    else source_run(source);
    run_queue_add(source);
  }
}

/* ---- sinks: host to descriptor ---- */

/* The host may send again what has left our hands. */
static void sink_consumed(struct end *sink, uint32_t bytes) {
  sink->owed += bytes;
  if (sink->owed < WINDOW / 2 || sink->finished) return;
  channel_send_u32(FRAME_CREDIT, sink->channel, sink->stream->id, sink->owed);
  sink->credit += sink->owed;
  sink->owed = 0;
}

/* Nobody reads the other side any more. */
void sink_break(struct end *sink) {
  if (sink->fd < 0) return;
  if (!sink->finished) channel_send(FRAME_RESET, sink->channel, sink->stream->id, NULL, 0);
  end_close(sink);
  if (sink->stream->kind == KIND_DIAL) dial_settle(sink->stream);
}

/* Bytes written, or -1 after the sink broke. */
static int64_t sink_write(struct end *sink, const uint8_t *bytes, uint32_t length) {
  uint32_t written = 0;
  while (written < length) {
    ssize_t n = write(sink->fd, bytes + written, length - written);
    if (n >= 0) written += (uint32_t)n;
    else if (errno == EAGAIN) break;
    else if (errno != EINTR) {
      sink_break(sink);
      return -1;
    }
  }
  return written;
}

static bool sink_enqueue(struct end *sink, const uint8_t *bytes, uint32_t length) {
  if (!sink->queue && !(sink->queue = malloc(WINDOW))) return false;
  uint32_t to = (sink->queue_at + sink->queue_length) % WINDOW;
  uint32_t first = length < WINDOW - to ? length : WINDOW - to;
  memcpy(sink->queue + to, bytes, first);
  memcpy(sink->queue, bytes + first, length - first);
  sink->queue_length += length;
  return true;
}

static void sink_close(struct end *sink) {
  if (sink->stream->kind == KIND_DIAL) {
    shutdown(sink->fd, SHUT_WR);
    end_close(sink);
    dial_settle(sink->stream);
  } else if (sink->stream->tty) {
    /* a terminal has no end of file but the character, twice where a line is open; the descriptor stays for resize */
    struct termios mode;
    sink->finished = true;
    if (tcgetattr(sink->fd, &mode) != 0) return;
    uint8_t end[2] = {mode.c_cc[VEOF], mode.c_cc[VEOF]};
    if (sink_enqueue(sink, end, sink->midline ? 2 : 1)) sink_flush(sink);
  } else {
    end_close(sink);
  }
}

void sink_data(struct end *sink, const uint8_t *bytes, uint32_t length) {
  if (length > sink->credit || sink->closing) die("DATA beyond the credit or the end");
  sink->midline = bytes[length - 1] != '\n';
  sink->credit -= length;
  if (sink->fd < 0) return; /* broken, and the host was told */
  int64_t written = 0;
  if (sink->queue_length == 0 && sink->stream->state != STATE_STARTING) written = sink_write(sink, bytes, length);
  if (written < 0) return;
  if (written < length && !sink_enqueue(sink, bytes + written, length - (uint32_t)written)) {
    sink_break(sink);
    return;
  }
  sink_consumed(sink, (uint32_t)written);
}

void sink_flush(struct end *sink) {
  while (sink->queue_length > 0) {
    uint32_t part = WINDOW - sink->queue_at < sink->queue_length ? WINDOW - sink->queue_at : sink->queue_length;
    int64_t written = sink_write(sink, sink->queue + sink->queue_at, part);
    if (written < 0) return;
    sink->queue_at = (sink->queue_at + (uint32_t)written) % WINDOW;
    sink->queue_length -= (uint32_t)written;
    sink_consumed(sink, (uint32_t)written);
    if (written < part) return;
  }
  free(sink->queue);
  sink->queue = NULL;
  sink->queue_at = 0;
  if (sink->closing && !sink->finished) sink_close(sink);
}

void sink_eof(struct end *sink) {
  if (sink->closing) die("a second EOF");
  sink->closing = true;
  if (sink->fd >= 0 && sink->queue_length == 0 && sink->stream->state != STATE_STARTING) sink_close(sink);
}
