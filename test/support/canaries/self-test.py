"""Outside of any sandbox: reaches every canary once in every way, so that their silence later means something."""
import json, socket, struct, sys

places = json.loads(sys.stdin.read())


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(address):
    six = ":" in address
    kind = 128 if six else 8
    packet = struct.pack("!BBHHH", kind, 0, 0, 7, 1)
    if not six:
        packet = struct.pack("!BBHHH", kind, 0, checksum(packet), 7, 1)
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.sendto(packet, (address, 0))


for address in places["addresses"]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in places["tcp"]:
        socket.create_connection((address, port), 5).close()
    for port in places["udp"]:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.sendto(b"self-test", (address, port))
    echo(address)
with socket.socket(socket.AF_UNIX) as one:
    one.connect("\0" + places["abstract"])
print("done")
