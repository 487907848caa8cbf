/* Frames in and out of the one socket. Everything that comes in is checked; whatever is wrong ends init, and the sandbox. */
#include "init.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>


/* DATA is accepted into the out buffer up to OUT_SOFT; the rest is for control frames, whose number is bounded because
   no frame is processed while the buffer holds more than OUT_SOFT, and a stream has only a few unasked ones. */
#define OUT_SOFT (256u << 10)
#define OUT_BYTES (512u << 10)

int channel_fd = -1;
bool channel_readable = true, channel_writable = true;

static uint8_t in[HEADER_BYTES + MAX_PAYLOAD];
static uint32_t in_at, in_length;
static uint8_t out[OUT_BYTES];
static uint32_t out_at, out_length;
static bool greeted;

uint16_t get_u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

uint32_t get_u32(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

void put_u16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

void put_u32(uint8_t *at, uint32_t value) {
  put_u16(at, (uint16_t)(value >> 16));
  put_u16(at + 2, (uint16_t)value);
}

bool channel_has_room(void) { return out_length <= OUT_SOFT; }

/* Room for a frame with this payload; the caller fills it and commits. */
uint8_t *channel_reserve(uint32_t payload) {
  if (out_length + HEADER_BYTES + payload > OUT_BYTES) die("out buffer overrun");
  if (out_at + out_length + HEADER_BYTES + payload > OUT_BYTES) {
    memmove(out, out + out_at, out_length);
    out_at = 0;
  }
  return out + out_at + out_length + HEADER_BYTES;
}

void channel_commit(uint8_t type, uint8_t channel, uint32_t stream, uint32_t payload) {
  uint8_t *header = out + out_at + out_length;
  put_u32(header, payload);
  header[4] = type;
  header[5] = channel;
  put_u16(header + 6, 0);
  put_u32(header + 8, stream);
  out_length += HEADER_BYTES + payload;
}

void channel_send(uint8_t type, uint8_t channel, uint32_t stream, const void *payload, uint32_t length) {
  uint8_t *at = channel_reserve(length);
  if (length > 0) memcpy(at, payload, length);
  channel_commit(type, channel, stream, length);
}

void channel_send_u32(uint8_t type, uint8_t channel, uint32_t stream, uint32_t value) {
  uint8_t payload[4];
  put_u32(payload, value);
  channel_send(type, channel, stream, payload, sizeof payload);
}

void channel_send_failed(uint32_t stream, enum stage stage, int error) {
  uint8_t payload[5] = {(uint8_t)stage};
  put_u32(payload + 1, (uint32_t)error);
  channel_send(FRAME_FAILED, 0, stream, payload, sizeof payload);
}

void channel_flush(void) {
  while (out_length > 0 && channel_writable) {
    ssize_t n = write(channel_fd, out + out_at, out_length);
    if (n > 0) {
      out_at += (uint32_t)n;
      out_length -= (uint32_t)n;
    } else if (errno == EAGAIN) {
      channel_writable = false;
    } else if (errno != EINTR) {
      terminate(0); /* the host is gone */
    }
  }
  if (out_length == 0) out_at = 0;
}

static void hello(const uint8_t *payload, uint32_t length) {
  if (length < 12 || length > 12 + 64 || memcmp(payload, "AKIN", 4) != 0) die("not a hello");
  if (get_u16(payload + 4) != PROTOCOL_VERSION) die("the host speaks another version of the protocol");
  if (get_u32(payload + 8) != WINDOW) die("the host uses another window");
  greeted = true;
}

/* The end of a stream that a frame of the host speaks about; null where such a frame makes no sense. */
static struct end *end_of(struct stream *stream, uint8_t channel) {
  if (channel == CHANNEL_IN) return &stream->sink;
  if (channel == CHANNEL_OUT || (channel == CHANNEL_ERR && stream->kind == KIND_EXEC)) return &stream->source[channel - 1];
  die("no such channel");
}

static void stream_frame(uint8_t type, uint8_t channel, uint32_t id, const uint8_t *payload, uint32_t length) {
  struct stream *stream = stream_find(id);
  if (!stream) return; /* it ended while the frame was on its way */
  struct end *end = end_of(stream, channel);
  switch (type) {
    case FRAME_DATA:
      if (end->role != ROLE_SINK || length == 0 || length > MAX_DATA) die("bad DATA");
      sink_data(end, payload, length);
      break;
    case FRAME_EOF:
      if (end->role != ROLE_SINK || length != 0) die("bad EOF");
      sink_eof(end);
      break;
    case FRAME_CREDIT:
      if (end->role != ROLE_SOURCE || length != 4) die("bad CREDIT");
      source_credit(end, get_u32(payload));
      break;
    case FRAME_RESET:
      if (length != 0) die("bad RESET");
      if (stream->kind == KIND_DIAL) dial_abort(stream);
      else exec_reset(stream, end);
      break;
    case FRAME_SIGNAL:
      if (stream->kind != KIND_EXEC || length != 1 || payload[0] < 1 || payload[0] > 64) die("bad SIGNAL");
      exec_signal(stream, payload[0]);
      break;
    case FRAME_RESIZE:
      if (stream->kind != KIND_EXEC || length != 4) die("bad RESIZE");
      exec_resize(stream, get_u16(payload), get_u16(payload + 2));
      break;
    default:
      die("unknown frame");
  }
}

static void frame(uint8_t type, uint8_t channel, uint32_t id, const uint8_t *payload, uint32_t length) {
  if (!greeted) {
    if (type != FRAME_HELLO || id != 0) die("the first frame is not a hello");
    hello(payload, length);
    return;
  }
  if (type == FRAME_SHUTDOWN) terminate(0);
  if (id == 0) die("no stream named");
  if (type != FRAME_EXEC && type != FRAME_DIAL) {
    stream_frame(type, channel, id, payload, length);
    return;
  }
  if (channel != 0 || stream_find(id)) die("stream already in use");
  if (type == FRAME_EXEC) {
    exec_start(id, payload, length);
  } else {
    if (length != 2 || get_u16(payload) == 0) die("bad DIAL");
    dial_start(id, get_u16(payload));
  }
}

/* Whether a whole frame, or a header that is already wrong, waits in the buffer. */
bool channel_has_frames(void) {
  if (in_length < HEADER_BYTES) return false;
  uint32_t length = get_u32(in + in_at);
  return length > MAX_PAYLOAD || in_length >= HEADER_BYTES + length;
}

static void process_frames(void) {
  while (channel_has_frames() && channel_has_room()) {
    const uint8_t *at = in + in_at;
    uint32_t length = get_u32(at);
    if (length > MAX_PAYLOAD || get_u16(at + 6) != 0) die("bad frame header");
    frame(at[4], at[5], get_u32(at + 8), at + HEADER_BYTES, length);
    in_at += HEADER_BYTES + length;
    in_length -= HEADER_BYTES + length;
  }
  if (in_at > 0 && !channel_has_frames()) {
    memmove(in, in + in_at, in_length);
    in_at = 0;
  }
}

/* One read and the frames it completes; nothing is read while the host does not take our answers. */
void channel_read(void) {
  process_frames();
  if (!channel_readable || !channel_has_room() || channel_has_frames()) return;
  ssize_t n = read(channel_fd, in + in_length, sizeof in - in_length);
  if (n > 0) {
    in_length += (uint32_t)n;
    process_frames();
  } else if (n == 0) {
    terminate(0); /* the host closed the channel */
  } else if (errno == EAGAIN) {
    channel_readable = false;
  } else if (errno != EINTR) {
    terminate(0);
  }
}
