/*
 * Stage 1 of a bubblewrap sandbox: makes the namespaces, starts stage 2 (bwrap) in them, hands the listening sockets of the
 * sandbox's network to the gateway meanwhile, and ends stage 2 unless the gateway says that it is attached. Runs on the host as an
 * ordinary uid.
 *
 *   net-helper.c          options, namespaces, scratch file system, start and end of stage 2
 *   net-helper-channel.c  the channel to the launcher: sockets out, "go" in
 *   net-helper-network.c  loopback, local routes, listening sockets
 *   net-helper-watch.c    memory of everything inside, where no cgroup holds it
 */
#ifndef AGENTKERNEL_NET_HELPER_H
#define AGENTKERNEL_NET_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit codes; everything else is what stage 2 exited with. */
#define EXIT_FAILED 125
#define EXIT_MEMORY 120

/* "net-helper: WHAT: strerror" on standard error, exit 125. */
_Noreturn void fail(const char *what);
/* The same without errno. */
_Noreturn void refuse(const char *what);

/* net-helper-channel.c: every call ends the program unless the other side did exactly what was agreed. */
void channel_open(int fd);
void channel_add_socket(int socket, uint16_t port); /* port 0: the name service's datagram socket */
void channel_hand_over(void);
void channel_wait_go(void);
void channel_close(void);

/* net-helper-network.c */
void network_up(bool route_everything);
int listen_tcp(uint16_t port);
int listen_dns(void);

/* net-helper-watch.c: returns when the child has ended (false), or after it was killed for memory (true). */
bool watch_memory(pid_t child, int pidfd, const char *proc_path, const char *scratch_path, uint64_t limit);

#endif
