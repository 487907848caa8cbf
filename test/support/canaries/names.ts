/** Addresses of the world that a sandbox must not reach, and the one that a rule opens. */
export const OPEN = "93.184.216.34";
export const OTHER_OPEN = "93.184.216.35";

/** On the far side of a cable: a local network, the metadata services of clouds, and public hosts. */
export const WORLD_V4 = [
  "10.20.30.2",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "192.168.77.2",
  "100.64.0.1",
  "169.254.169.254",
  "169.254.170.2",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "8.8.8.8",
  "1.1.1.1",
  OPEN,
  OTHER_OPEN,
] as const;
export const WORLD_V6 = [
  "fd00:77::2",
  "fd00:ec2::254",
  "2606:2800:220:1::1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b::5db8:d822",
  "2002:a9fe:a9fe::1",
] as const;

/** The near end of that cable: this machine, as its network knows it. */
export const HOST_V4 = ["10.20.30.1", "192.168.77.1"] as const;

/** What the host's resolver is told; each list is one answer, the last one stays. */
export const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "allowed.example.com": [[OPEN]],
  "other.example.com": [[OTHER_OPEN]],
  "redirect.example.com": [[OPEN]],
  "meta.example.com": [["169.254.169.254"]],
  "alibaba.example.com": [["100.100.100.200"]],
  "lan.example.com": [["10.20.30.2"]],
  "own.example.com": [["10.20.30.1"]],
  "loop.example.com": [["127.0.0.1"]],
  "rebind.example.com": [[OPEN], ["169.254.169.254"]],
  "mapped.example.com": [["::ffff:169.254.169.254"]],
  "nat64.example.com": [["64:ff9b::5db8:d822"]],
  "sixtofour.example.com": [["2002:a9fe:a9fe::1"]],
  "ec2.example.com": [["fd00:ec2::254"]],
  "loop6.example.com": [["::1"]],
};

export const TCP_PORTS = [22, 25, 53, 80, 443, 853, 1080, 3128, 6443, 8080, 8443, 9000] as const;
export const UDP_PORTS = [53, 123, 443, 1194, 5353] as const;
export const ABSTRACT_SOCKET = "agentkernel-canary";
