/*
 * What agentkernel asks for: frames of a length, a type, the number of a sandbox and what belongs to the type, little-endian as every
 * machine is that this runs on. Written by src/backends/bubblewrap/launch-request.ts, and by nobody else: what does not fit ends us.
 */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 9u
#define MAX_FRAME (8u << 20)
#define MAX_ARGUMENTS 1024

enum { REQUEST_START = 'S', REQUEST_GO = 'G', REQUEST_SIGNAL = 'K' };

static uint8_t *buffer;
static size_t filled, room;

/* Reads off the front of a payload. */
struct reader {
  const uint8_t *at;
  size_t left;
};

static const uint8_t *take(struct reader *from, size_t length) {
  if (length > from->left) refuse("a request is cut off");
  const uint8_t *at = from->at;
  from->at += length;
  from->left -= length;
  return at;
}

static uint64_t take_number(struct reader *from, size_t bytes) {
  uint64_t value = 0;
  memcpy(&value, take(from, bytes), bytes);
  return value;
}

static const char *take_text(struct reader *from) {
  const uint8_t *end = memchr(from->at, 0, from->left);
  if (end == NULL) refuse("a request is cut off");
  return (const char *)take(from, (size_t)(end - from->at) + 1);
}

static void read_start(uint32_t id, struct reader *from) {
  static struct start start;
  static char *argv[MAX_ARGUMENTS + 1];
  start.uid = (uint32_t)take_number(from, 4);
  start.gid = (uint32_t)take_number(from, 4);
  size_t argc = take_number(from, 2);
  if (argc == 0 || argc > MAX_ARGUMENTS) refuse("a request has too many arguments");
  for (size_t i = 0; i < argc; i++) argv[i] = (char *)take_text(from);
  argv[argc] = NULL;
  start.argv = argv;
  start.opened_count = (int)take_number(from, 2);
  if (start.opened_count > MAX_OPENED) refuse("a request has too many descriptors");
  for (int i = 0; i < start.opened_count; i++) {
    struct opened *opened = &start.opened[i];
    *opened = (struct opened){.kind = (char)take_number(from, 1)};
    if (opened->kind == 'c') {
      opened->content_length = (uint32_t)take_number(from, 4);
      opened->content = take(from, opened->content_length);
      continue;
    }
    if (opened->kind == 'h') {
      opened->device = take_number(from, 8);
      opened->inode = take_number(from, 8);
    }
    opened->path = take_text(from);
  }
  if (from->left != 0) refuse("a request is too long");
  child_start(id, &start);
}

static void read_frame(uint8_t type, uint32_t id, struct reader from) {
  if (type == REQUEST_START) {
    read_start(id, &from);
  } else if (type == REQUEST_GO && from.left == 0) {
    child_go(id);
  } else if (type == REQUEST_SIGNAL && from.left == 1) {
    child_signal(id, *from.at);
  } else
    refuse("a request is unknown");
}

bool requests_read(int fd) {
  if (room - filled < 65536) {
    room += 131072;
    buffer = realloc(buffer, room);
    if (buffer == NULL) fail("memory");
  }
  ssize_t got = recv(fd, buffer + filled, room - filled, MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) return true;
    fail("requests");
  }
  if (got == 0) return false;
  filled += (size_t)got;
  size_t done = 0;
  while (filled - done >= HEADER) {
    uint32_t length, id;
    memcpy(&length, buffer + done, 4);
    memcpy(&id, buffer + done + 5, 4);
    if (length > MAX_FRAME) refuse("a request is too long");
    if (filled - done - HEADER < length) break;
    read_frame(buffer[done + 4], id, (struct reader){.at = buffer + done + HEADER, .left = length});
    done += HEADER + length;
  }
  memmove(buffer, buffer + done, filled - done);
  filled -= done;
  return true;
}
