/* A command: its request, its process, its terminal, its end. Every command leads a session and process group of its own. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

#define REQUEST_BYTES 16
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
/* after a hangup a pty still holds at most its two flip buffers */
#define TERMINAL_BYTES (64u << 10)

struct request {
  bool tty;
  uint16_t rows, cols;
  const char *cwd;
  char **argv, **env;
};

/* What a child says on its error pipe before it is the command; silence and end of file mean that it is. */
struct report {
  int32_t stage, error;
};

/* Frees with free(request.argv). The strings stay in the frame, which outlives the fork. */
static struct request parse_request(const uint8_t *payload, uint32_t length) {
  if (length < REQUEST_BYTES || payload[length - 1] != 0 || payload[0] > 1 || payload[1] != 0 || get_u16(payload + 6) != 0) die("bad EXEC");
  struct request request = {.tty = payload[0], .rows = get_u16(payload + 2), .cols = get_u16(payload + 4)};
  uint32_t argc = get_u32(payload + 8), envc = get_u32(payload + 12);
  const char *at = (const char *)payload + REQUEST_BYTES, *end = (const char *)payload + length;
  if (argc == 0 || argc > length || envc > length) die("bad EXEC");
  char **list = calloc((size_t)argc + envc + 2, sizeof *list);
  if (!list) return request;
  request.argv = list;
  request.env = list + argc + 1;
  for (uint32_t i = 0; i < 1 + argc + envc; i++) {
    if (at >= end) die("EXEC ends early");
    if (i == 0) request.cwd = at;
    else list[i - 1 + (i > argc)] = (char *)at;
    at += strlen(at) + 1;
  }
  if (at != end) die("EXEC has bytes left");
  return request;
}

/* ---- in the child: system calls only, no allocation ---- */

static _Noreturn void child_fail(int report_fd, enum stage stage, int error) {
  struct report report = {stage, error};
  ssize_t ignored = write(report_fd, &report, sizeof report);
  (void)ignored;
  _exit(127);
}

static void try_execute(int report_fd, const char *path, char **argv, char **env) {
  execve(path, argv, env);
  int error = errno;
  if ((error == ENOENT || error == ENOTDIR) && access(path, F_OK) == 0) child_fail(report_fd, STAGE_INTERPRETER, error);
  if (error != ENOENT && error != ENOTDIR && error != EACCES) child_fail(report_fd, STAGE_EXECUTE, error);
  errno = error;
}

/* As execvpe, but on the PATH of the command's own environment, and without handing an unknown format to a shell. */
static _Noreturn void search_and_execute(int report_fd, char **argv, char **env) {
  const char *name = argv[0], *path = DEFAULT_PATH;
  size_t name_length = strlen(name);
  if (name_length == 0) child_fail(report_fd, STAGE_LOOKUP, ENOENT);
  if (strchr(name, '/')) {
    try_execute(report_fd, name, argv, env);
    child_fail(report_fd, errno == EACCES ? STAGE_EXECUTE : STAGE_LOOKUP, errno);
  }
  for (char **at = env; *at; at++)
    if (strncmp(*at, "PATH=", 5) == 0) path = *at + 5;
  bool denied = false;
  char candidate[4096];
  for (;;) {
    size_t length = strcspn(path, ":");
    const char *directory = length == 0 ? "." : path; /* POSIX: an empty element is the working directory */
    size_t directory_length = length == 0 ? 1 : length;
    if (directory_length + name_length + 2 <= sizeof candidate) {
      memcpy(candidate, directory, directory_length);
      candidate[directory_length] = '/';
      memcpy(candidate + directory_length + 1, name, name_length + 1);
      try_execute(report_fd, candidate, argv, env);
      denied = denied || errno == EACCES;
    }
    if (path[length] == 0) break;
    path += length + 1;
  }
  child_fail(report_fd, denied ? STAGE_EXECUTE : STAGE_LOOKUP, denied ? EACCES : ENOENT);
}

static _Noreturn void child(const struct request *request, const int stdio[3], int report_fd) {
  setsid();
  for (int signal_number = 1; signal_number <= 64; signal_number++) signal(signal_number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (request->tty && ioctl(stdio[0], TIOCSCTTY, 0) != 0) child_fail(report_fd, STAGE_TERMINAL, errno);
  /* every descriptor of init is above 2, so these never overwrite one that is still needed */
  for (int fd = 0; fd < 3; fd++)
    if (dup2(stdio[fd], fd) < 0) child_fail(report_fd, STAGE_RESOURCES, errno);
  umask(022);
  if (chdir(request->cwd) != 0) child_fail(report_fd, STAGE_DIRECTORY, errno);
  search_and_execute(report_fd, request->argv, request->env);
}

/* ---- in init ---- */

static void close_all(int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

static bool make_pipe(int fds[2], int our_side) {
  return pipe2(fds, O_CLOEXEC) == 0 && fcntl(fds[our_side], F_SETFL, O_NONBLOCK) == 0;
}

/* The master for both directions, each with a descriptor of its own, and the slave; opened without /dev/pts. */
static bool open_terminal(const struct request *request, int *sink, int *source, int *slave) {
  struct winsize size = {.ws_row = request->rows, .ws_col = request->cols};
  int unlock = 0;
  *sink = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (*sink < 0 || ioctl(*sink, TIOCSPTLCK, &unlock) != 0 || ioctl(*sink, TIOCSWINSZ, &size) != 0) return false;
  *slave = ioctl(*sink, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  struct termios mode;
  if (*slave >= 0 && tcgetattr(*slave, &mode) == 0) {
    mode.c_iflag |= IUTF8; /* erasing a character erases all of its bytes */
    tcsetattr(*slave, TCSANOW, &mode);
  }
  *source = fcntl(*sink, F_DUPFD_CLOEXEC, 3);
  return *slave >= 0 && *source >= 0;
}

/* Returns 0 or errno, with nothing left open. */
static int launch(struct stream *stream, const struct request *request, enum stage *stage) {
  enum { IN_READ, IN_WRITE, OUT_READ, OUT_WRITE, ERR_READ, ERR_WRITE, REPORT_READ, REPORT_WRITE, SLAVE, COUNT };
  int fd[COUNT];
  for (int i = 0; i < COUNT; i++) fd[i] = -1;
  *stage = STAGE_RESOURCES;
  bool ok = make_pipe(&fd[REPORT_READ], 0);
  if (ok && request->tty) {
    *stage = STAGE_TERMINAL;
    ok = open_terminal(request, &fd[IN_WRITE], &fd[OUT_READ], &fd[SLAVE]);
  } else if (ok) {
    ok = make_pipe(&fd[IN_READ], 1) && make_pipe(&fd[OUT_READ], 0) && make_pipe(&fd[ERR_READ], 0);
  }
  pid_t pid = -1;
  if (ok) {
    const int slave[3] = {fd[SLAVE], fd[SLAVE], fd[SLAVE]}, pipes[3] = {fd[IN_READ], fd[OUT_WRITE], fd[ERR_WRITE]};
    *stage = STAGE_FORK;
    pid = fork();
    if (pid == 0) child(request, request->tty ? slave : pipes, fd[REPORT_WRITE]);
  }
  if (pid < 0) {
    int error = errno;
    close_all(fd, COUNT);
    return error;
  }
  stream->pid = pid;
  stream->tty = request->tty;
  stream->terminal = fd[SLAVE];
  stream->sink.fd = fd[IN_WRITE];
  stream->source[0].fd = fd[OUT_READ];
  stream->source[1].fd = fd[ERR_READ];
  if (request->tty) stream->source[1].finished = true;
  int child_side[] = {fd[IN_READ], fd[OUT_WRITE], fd[ERR_WRITE], fd[REPORT_WRITE]};
  close_all(child_side, 4);
  if (!end_open(&stream->report, fd[REPORT_READ])) die("epoll is full");
  return 0;
}

void exec_start(uint32_t id, const uint8_t *payload, uint32_t length) {
  struct request request = parse_request(payload, length);
  struct stream *stream = request.argv ? stream_new(id, KIND_EXEC) : NULL;
  enum stage stage = STAGE_RESOURCES;
  int error = EMFILE;
  if (stream) {
    do error = launch(stream, &request, &stage);
    while ((error == EMFILE || error == ENFILE) && streams_drop_detached());
    if (error) stream_remove(stream);
  }
  free(request.argv);
  if (error) channel_send_failed(id, stage, error);
}

/* The error pipe has ended or speaks: the command runs, or never will. */
void exec_report(struct stream *stream) {
  struct report report;
  ssize_t n = read(stream->report.fd, &report, sizeof report);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  end_close(&stream->report);
  if (n == (ssize_t)sizeof report) {
    channel_send_failed(stream->id, (enum stage)report.stage, report.error);
    stream_remove(stream);
    return;
  }
  stream->state = STATE_RUNNING;
  channel_send_u32(FRAME_STARTED, 0, stream->id, (uint32_t)stream->pid);
  struct end *ends[] = {&stream->sink, &stream->source[0], &stream->source[1]};
  for (int i = 0; i < 3; i++)
    if (ends[i]->fd >= 0 && !end_open(ends[i], ends[i]->fd)) die("epoll is full");
  if (stream->sink.fd >= 0) sink_flush(&stream->sink);
}

/* The host no longer reads an output, or abandons the input: the command sees what it would see of a closed pipe. */
void exec_reset(struct stream *stream, struct end *end) {
  end_close(end);
  /* both ends of a terminal are one master: closing it hangs up */
  if (stream->tty && end->role == ROLE_SOURCE) end_close(&stream->sink);
  exec_settle(stream);
}

/* The pid cannot have been given to another process, since it is 0 here as soon as it was reaped. */
void exec_signal(struct stream *stream, int signal_number) {
  if (stream->pid <= 0) return;
  /* before the child's setsid its group does not exist yet */
  if (kill(-stream->pid, signal_number) != 0) kill(stream->pid, signal_number);
}

void exec_resize(struct stream *stream, uint16_t rows, uint16_t cols) {
  if (!stream->tty || stream->state > STATE_RUNNING || stream->source[0].fd < 0) return;
  struct winsize size = {.ws_row = rows, .ws_col = cols};
  ioctl(stream->source[0].fd, TIOCSWINSZ, &size);
}

void exec_reaped(pid_t pid, int status) {
  struct stream *stream = NULL;
  for (unsigned i = 0; i < stream_count && !stream; i++)
    if (streams[i]->pid == pid) stream = streams[i];
  if (!stream) return; /* an orphan of a command */
  if (stream->state == STATE_STARTING) {
    exec_report(stream);
    if (stream->state == STATE_STARTING) return; /* it failed, and is gone */
  }
  stream->pid = 0;
  stream->status = status;
  stream->state = STATE_ENDED;
  stream->deadline_ms = now_ms() + GRACE_MS;
  streams_ended++;
  if (stream->terminal >= 0) close(stream->terminal);
  stream->terminal = -1;
  for (int i = 0; i < 2; i++) {
    struct end *source = &stream->source[i];
    int bytes = 0;
    if (source->fd < 0) continue;
    if (!stream->tty) ioctl(source->fd, FIONREAD, &bytes);
    source->must = stream->tty ? TERMINAL_BYTES : (uint32_t)bytes;
    source_ready(source);
  }
  exec_settle(stream);
}

/*
 * Says EXIT once everything that the command wrote was sent. Usually that is the end of file of both outputs. A background
 * process may hold them open: then it is what lay in the pipes when the command ended, and what came in the grace after it.
 * Its later output is read and dropped, so that it neither blocks nor dies of SIGPIPE.
 */
void exec_settle(struct stream *stream) {
  if (stream->state == STATE_DETACHED && stream->source[0].fd < 0 && stream->source[1].fd < 0) stream_remove(stream);
  if (stream->state != STATE_ENDED) return;
  for (int i = 0; i < 2; i++) {
    struct end *source = &stream->source[i];
    if (source->finished) continue;
    bool delivered = source->must == 0 || (stream->tty && !source->ready);
    if (!delivered || now_ms() < stream->deadline_ms) return;
  }
  bool held = false;
  for (int i = 0; i < 2; i++) {
    struct end *source = &stream->source[i];
    if (!source->finished) channel_send(FRAME_EOF, source->channel, stream->id, NULL, 0);
    source->finished = true;
    held = held || source->fd >= 0;
  }
  uint8_t payload[2] = {WIFSIGNALED(stream->status), (uint8_t)(WIFSIGNALED(stream->status) ? WTERMSIG(stream->status) : WEXITSTATUS(stream->status))};
  channel_send(FRAME_EXIT, 0, stream->id, payload, sizeof payload);
  streams_ended--;
  stream->state = STATE_DETACHED;
  stream->id = 0;
  end_close(&stream->sink);
  if (!held || stream->tty) {
    stream_remove(stream);
    return;
  }
  for (int i = 0; i < 2; i++) {
    stream->source[i].discarding = true;
    if (stream->source[i].fd >= 0) source_ready(&stream->source[i]);
  }
}
