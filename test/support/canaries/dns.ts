import { createSocket } from "node:dgram";
import { isIP } from "node:net";
import { NAMES } from "./names.ts";

/** A name server that tells rebinding lies, and the names that it was asked for. */
export function serveNames(address: string, asked: (name: string) => void): void {
  const turns = new Map<string, number>();
  const server = createSocket("udp4");
  server.on("message", (message, peer) => {
    const end = message.indexOf(0, 12);
    const labels: string[] = [];
    for (let at = 12; at < end; at += (message[at] ?? 0) + 1) labels.push(message.toString("latin1", at + 1, at + 1 + (message[at] ?? 0)));
    const name = labels.join(".").toLowerCase();
    const type = message.readUInt16BE(end + 1);
    asked(name);
    const key = `${name} ${type}`;
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    const answers = NAMES[name];
    const found = (answers?.[Math.min(turn, answers.length - 1)] ?? []).filter((one) => isIP(one) === (type === 28 ? 6 : 4));
    const head = Buffer.from(message.subarray(0, 12));
    head.writeUInt16BE(answers === undefined ? 0x8183 : 0x8180, 2);
    head.writeUInt16BE(found.length, 6);
    head.writeUInt32BE(0, 8);
    const records = found.map((one) => {
      const bytes = bytesOf(one);
      return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length]), bytes]);
    });
    server.send(Buffer.concat([head, message.subarray(12, end + 5), ...records]), peer.port, peer.address);
  });
  server.bind(53, address);
}

function bytesOf(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = text.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((one) => Number.parseInt(one, 16)));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
}
