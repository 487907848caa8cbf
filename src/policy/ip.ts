/** Strict readers of address literals: one spelling for IPv4, RFC 4291 for IPv6, nothing that `inet_aton` would guess. */

/** Four decimal numbers without leading zeros, as one unsigned 32-bit number; else undefined. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join(".");
}

/** Eight 16-bit groups; the last two may be written as IPv4. No zone, no brackets. */
export type Ipv6Groups = readonly [number, number, number, number, number, number, number, number];

export function parseIpv6(text: string): Ipv6Groups | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? toGroups(head) : undefined;
  const tail = groupsOf(halves[1] ?? "", true);
  // "::" stands for at least one group (RFC 5952 §4.2.2 forbids it for one only when writing)
  if (tail === undefined || head.length + tail.length > 7) return undefined;
  return toGroups([...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]);
}

/** RFC 5952 but for the dotted form of mapped addresses: shortest, lower-case, first longest run of zeros as `::`. As WHATWG URL. */
export function formatIpv6(groups: Ipv6Groups): string {
  let runAt = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > runLength) {
      runAt = start;
      runLength = end - start;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  return runAt === -1 ? hex.join(":") : `${hex.slice(0, runAt).join(":")}::${hex.slice(runAt + runLength).join(":")}`;
}

function groupsOf(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (part.includes(".")) {
      const value = mayEndInIpv4 && index === parts.length - 1 ? parseIpv4(part) : undefined;
      if (value === undefined) return undefined;
      groups.push(value >>> 16, value & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function toGroups(list: readonly number[]): Ipv6Groups {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = list;
  return [a, b, c, d, e, f, g, h];
}
