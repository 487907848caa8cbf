/*
 * The in-sandbox init: runs commands and opens connections inside a sandbox for the host, over one stream socket.
 * The frames are described in docs/reference/init-protocol.md; src/backends/init/ is the host's side.
 *
 *   init.c          start, event loop, reaping, the end
 *   init-channel.c  frames in and out of the one socket
 *   init-stream.c   the bytes of one exec or dial: credit, queues, fairness
 *   init-exec.c     a command: request, fork, terminal, exit
 *   init-dial.c     a TCP connection to the sandbox's own loopback
 */
#ifndef AGENTKERNEL_INIT_H
#define AGENTKERNEL_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTOCOL_VERSION 1
#define HEADER_BYTES 12
#define MAX_PAYLOAD (1u << 20)
#define MAX_DATA (64u << 10)
/* bytes in flight per stream and direction; also the most that init holds of one stream's standard input */
#define WINDOW (256u << 10)
#define MAX_STREAMS 1024

/* How long output of background processes is still delivered after the command itself ended. */
#define GRACE_MS 500

enum frame_type {
  FRAME_HELLO = 1,    /* both   magic, version, window, build id; the first frame */
  FRAME_EXEC = 2,     /* host   run a command */
  FRAME_DIAL = 3,     /* host   connect to a port */
  FRAME_DATA = 4,     /* both   bytes of a channel */
  FRAME_EOF = 5,      /* both   end of a channel */
  FRAME_CREDIT = 6,   /* both   the other side may send so many more bytes on a channel */
  FRAME_RESET = 7,    /* both   this side takes no more bytes of a channel (dial, from the host: drop the connection) */
  FRAME_SIGNAL = 8,   /* host   to the command's process group */
  FRAME_RESIZE = 9,   /* host   size of the terminal */
  FRAME_STARTED = 10, /* init   the command runs, or the connection stands */
  FRAME_FAILED = 11,  /* init   it does not: stage and errno; the stream's last frame */
  FRAME_EXIT = 12,    /* init   how the command ended; the stream's last frame */
  FRAME_CLOSED = 13,  /* init   the connection is over; the stream's last frame */
  FRAME_SHUTDOWN = 14 /* host   kill everything and exit */
};

/* What failed, in FRAME_FAILED. */
enum stage {
  STAGE_RESOURCES = 1,   /* descriptors, memory or the table of streams */
  STAGE_FORK = 2,        /* fork, usually the limit on processes */
  STAGE_TERMINAL = 3,    /* allocation of the pty */
  STAGE_DIRECTORY = 4,   /* chdir */
  STAGE_LOOKUP = 5,      /* no such program */
  STAGE_EXECUTE = 6,     /* the program is there and cannot be executed */
  STAGE_INTERPRETER = 7, /* the program is there, its interpreter or loader is not */
  STAGE_CONNECT = 8
};

enum channel { CHANNEL_IN = 0, CHANNEL_OUT = 1, CHANNEL_ERR = 2 };

enum role { ROLE_SINK, ROLE_SOURCE, ROLE_REPORT };

struct stream;

/* One descriptor of a stream, registered edge-triggered for its whole life. */
struct end {
  struct stream *stream;
  int fd; /* -1: closed */
  uint8_t role;
  uint8_t channel;
  bool ready;      /* source: the kernel said readable and no read has said EAGAIN since */
  bool finished;   /* no more bytes will pass: EOF or RESET was sent or received */
  bool discarding; /* source: its bytes belong to a background process of a command that has ended */
  bool closing;    /* sink: close it once the queue is empty */
  bool midline;    /* sink of a terminal: the last byte did not end a line */
  uint32_t credit; /* source: what the host still takes; sink: what the host may still send */
  uint32_t owed;   /* sink: consumed and not yet granted again */
  uint32_t must;   /* source: bytes that lay in the pipe when the command ended */
  uint8_t *queue;  /* sink: ring of WINDOW bytes, allocated while the descriptor is full */
  uint32_t queue_at, queue_length;
  bool queued; /* source: member of the run queue */
  struct end *before, *after;
};

enum kind { KIND_EXEC, KIND_DIAL };
enum state { STATE_STARTING, STATE_RUNNING, STATE_ENDED, STATE_DETACHED };

struct stream {
  uint32_t id;
  uint8_t kind;
  uint8_t state;
  bool tty;
  bool ipv6;           /* dial: the second address family is being tried */
  uint16_t port;       /* dial */
  pid_t pid;           /* exec: leader of its session and group; 0 once reaped */
  int status;          /* exec: as of waitpid */
  int terminal;        /* exec with tty: the slave, held until the command ended */
  int64_t deadline_ms; /* exec, ended: until when background processes may still write */
  struct end sink, source[2], report;
  struct stream *next_dead;
};

/* init.c */
int64_t now_ms(void);
_Noreturn void die(const char *reason);
_Noreturn void terminate(int status);

/* init-channel.c */
extern int channel_fd;
extern bool channel_readable, channel_writable;
bool channel_has_room(void);
bool channel_has_frames(void);
void channel_read(void);
void channel_flush(void);
uint8_t *channel_reserve(uint32_t payload);
void channel_commit(uint8_t type, uint8_t channel, uint32_t stream, uint32_t payload);
void channel_send(uint8_t type, uint8_t channel, uint32_t stream, const void *payload, uint32_t length);
void channel_send_u32(uint8_t type, uint8_t channel, uint32_t stream, uint32_t value);
void channel_send_failed(uint32_t stream, enum stage stage, int error);
uint16_t get_u16(const uint8_t *at);
uint32_t get_u32(const uint8_t *at);
void put_u16(uint8_t *at, uint16_t value);
void put_u32(uint8_t *at, uint32_t value);

/* init-stream.c */
extern struct stream *streams[MAX_STREAMS];
extern unsigned stream_count;
extern unsigned streams_ended; /* how many wait for their deadline */
struct stream *stream_new(uint32_t id, enum kind kind);
struct stream *stream_find(uint32_t id);
void stream_remove(struct stream *stream);
void streams_free_dead(void);
bool streams_drop_detached(void);
bool end_open(struct end *end, int fd);
void end_close(struct end *end);
void end_close_fd(struct end *end);
void source_ready(struct end *source);
void source_credit(struct end *source, uint32_t bytes);
void source_finish(struct end *source, enum frame_type last);
bool sources_runnable(void);
void sources_run(unsigned turns);
void sink_data(struct end *sink, const uint8_t *bytes, uint32_t length);
void sink_eof(struct end *sink);
void sink_flush(struct end *sink);
void sink_break(struct end *sink);

/* init-exec.c */
void exec_start(uint32_t id, const uint8_t *payload, uint32_t length);
void exec_report(struct stream *stream);
void exec_reset(struct stream *stream, struct end *end);
void exec_signal(struct stream *stream, int signal);
void exec_resize(struct stream *stream, uint16_t rows, uint16_t cols);
void exec_reaped(pid_t pid, int status);
void exec_settle(struct stream *stream);

/* init-dial.c */
void dial_start(uint32_t id, uint16_t port);
void dial_progress(struct stream *stream);
void dial_settle(struct stream *stream);
void dial_abort(struct stream *stream);

#endif
