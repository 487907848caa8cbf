import { readFile } from "node:fs/promises";
import { endianness } from "node:os";
import type { Socket } from "node:net";
import { isIPv4 } from "node:net";
import { plainAddress } from "./origin.ts";

/**
 * Who is at the other end of a loopback connection. A TCP socket has no SO_PEERCRED; the kernel's table of sockets names the
 * uid that made each one, and on loopback the peer's socket stands in our own table, with the ends swapped.
 */

/** states in which the peer's socket still belongs to a process; TIME_WAIT shows uid 0 whoever it was */
const OWNED_STATES: ReadonlySet<string> = new Set(["01", "04", "05", "08"]);

/** uid of the process that connected, or undefined when it cannot be told. */
export async function peerUid(socket: Socket): Promise<number | undefined> {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined) return undefined;
  const peer = { address: plainAddress(remoteAddress), port: remotePort };
  const self = { address: plainAddress(localAddress), port: localPort };
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let table: string;
    try {
      table = await readFile(file, "latin1");
    } catch {
      // no such table (IPv6 switched off, or no /proc): nobody is recognised by it
      continue;
    }
    const uid = findOwner(table, peer, self, endianness());
    if (uid !== undefined) return uid;
  }
  return undefined;
}

type End = { readonly address: string; readonly port: number };

/** The uid of the socket whose local end is `local` and whose remote end is `remote`, in the text of /proc/net/tcp or tcp6. */
export function findOwner(table: string, local: End, remote: End, order: "LE" | "BE"): number | undefined {
  const locals = encodings(local, order);
  const remotes = encodings(remote, order);
  for (const line of table.split("\n")) {
    // sl local rem st tx:rx tr:when retrnsmt uid timeout inode
    const [, at, to, state, , , , uid, , inode] = line.trim().split(/\s+/);
    if (at === undefined || to === undefined || state === undefined || !locals.includes(at) || !remotes.includes(to)) continue;
    // inode 0: no process holds it any more, and the uid column says 0 for everybody
    if (!OWNED_STATES.has(state) || inode === "0" || uid === undefined || !/^\d+$/.test(uid)) continue;
    return Number(uid);
  }
  return undefined;
}

/** An end as the kernel prints it: 32-bit words in host order; IPv4 both plain and mapped into IPv6. */
function encodings(end: End, order: "LE" | "BE"): string[] {
  const port = end.port.toString(16).toUpperCase().padStart(4, "0");
  const bytes = isIPv4(end.address) ? end.address.split(".").map(Number) : ipv6Bytes(end.address);
  const words = hexWords(bytes, order);
  if (bytes.length === 16) return [`${words}:${port}`];
  return [`${words}:${port}`, `${hexWords([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes], order)}:${port}`];
}

function hexWords(bytes: readonly number[], order: "LE" | "BE"): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4) {
    const word = bytes.slice(i, i + 4);
    if (order === "LE") word.reverse();
    text += word.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join("");
  }
  return text;
}

function ipv6Bytes(address: string): number[] {
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const groups = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => 0), ...back];
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}
