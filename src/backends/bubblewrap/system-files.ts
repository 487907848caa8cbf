/** What agentkernel itself puts inside; the same user in every sandbox. */
export const INSIDE_UID = 1000;
export const INSIDE_HOME = "/home/agent";
export const INSIDE_WORKSPACE = "/workspace";
export const INSIDE_INIT = "/run/agentkernel/init";

/** /etc/passwd and the like, generated: the host's would tell its users, and name services that are not there. */
export const SHARED_FILES: Readonly<Record<string, string>> = {
  "/etc/passwd":
    "root:x:0:0:root:/root:/usr/sbin/nologin\n" +
    `agent:x:${INSIDE_UID}:${INSIDE_UID}:agent:${INSIDE_HOME}:/bin/sh\n` +
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "/etc/group": `root:x:0:\ntty:x:5:\nagent:x:${INSIDE_UID}:\nnogroup:x:65534:\n`,
  "/etc/nsswitch.conf":
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
  // one server, on the sandbox's own loopback, where the gateway listens
  "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n",
};

/** Those that differ from sandbox to sandbox. */
export function ownFiles(hostname: string): Readonly<Record<string, string>> {
  return {
    "/etc/hosts": `127.0.0.1 localhost ${hostname}\n::1 localhost ip6-localhost ip6-loopback\n`,
    "/etc/hostname": `${hostname}\n`,
  };
}
