/*
 * The sandbox's network: loopback only, every address routed to it ("AnyIP": a local route for 0.0.0.0/0, as
 * `ip route add local 0.0.0.0/0 dev lo` makes it), so that a listener on port 443 receives connections to any address and the
 * accepted socket's own address is the original destination. There is no other interface: no packet can leave.
 */
#define _GNU_SOURCE
#include "net-helper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* One RTM_NEWROUTE for "everything", answered by the kernel; returns 0 or its errno. */
static int add_local_route(int netlink, unsigned char family, unsigned loopback) {
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr attribute;
    unsigned interface;
  } request;
  memset(&request, 0, sizeof request);
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.route.rtm_family = family;
  request.route.rtm_table = RT_TABLE_LOCAL;
  request.route.rtm_protocol = RTPROT_BOOT;
  request.route.rtm_scope = RT_SCOPE_HOST;
  request.route.rtm_type = RTN_LOCAL;
  request.attribute.rta_type = RTA_OIF;
  request.attribute.rta_len = RTA_LENGTH(sizeof loopback);
  request.interface = loopback;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (sendto(netlink, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) return errno;
  union {
    struct nlmsghdr header;
    char room[512];
  } answer;
  ssize_t got = recv(netlink, &answer, sizeof answer, 0);
  if (got < 0) return errno;
  if ((size_t)got < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.header.nlmsg_type != NLMSG_ERROR) return EPROTO;
  return -((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
}

void network_up(bool route_everything) {
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) fail("socket");
  struct ifreq interface;
  memset(&interface, 0, sizeof interface);
  strcpy(interface.ifr_name, "lo");
  if (ioctl(control, SIOCGIFFLAGS, &interface) < 0) fail("loopback");
  interface.ifr_flags |= IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &interface) < 0) fail("loopback up");
  if (ioctl(control, SIOCGIFINDEX, &interface) < 0) fail("loopback index");
  close(control);
  if (!route_everything) return;
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) fail("netlink");
  errno = add_local_route(netlink, AF_INET, (unsigned)interface.ifr_ifindex);
  if (errno != 0) fail("local route for 0.0.0.0/0");
  /* IPv6 has no listeners: the route makes it refused at once rather than tried and timed out. A kernel without IPv6 has
     nothing to refuse. */
  (void)add_local_route(netlink, AF_INET6, (unsigned)interface.ifr_ifindex);
  close(netlink);
}

/* Not blocking: Node takes a listening socket over as it is, and out of descriptors it accepts and closes until nothing waits any more.
   On a blocking one that never comes, and every sandbox's gateway stands still. */
static int bound(int type, uint32_t address, uint16_t port) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(address)}};
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) fail("bind");
  return fd;
}

int listen_tcp(uint16_t port) {
  int fd = bound(SOCK_STREAM, INADDR_ANY, port);
  if (listen(fd, 511) < 0) fail("listen");
  return fd;
}

/* On 127.0.0.1, the name server of resolv.conf: bound to 0.0.0.0 it would answer from an address that was not asked. */
int listen_dns(void) { return bound(SOCK_DGRAM, INADDR_LOOPBACK, 53); }
