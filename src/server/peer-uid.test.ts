import { describe, expect, it } from "vitest";
import { findOwner } from "./peer-uid.ts";

// as a little-endian kernel prints it: the server's own end, then the caller's
const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:49C8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0
   1: 0100007F:49C8 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:D431 0100007F:49C8 01 00000000:00000000 00:00000000 00000000  1000        0 333 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:D432 0100007F:49C8 06 00000000:00000000 03:00001234 00000000     0        0 0 3 0000000000000000
   4: 0100007F:D433 0100007F:49C8 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:D431 00000000000000000000000001000000:49C8 01 00000000:00000000 00:00000000 00000000  1001        0 444 1 0 20 4 30 10 -1
   1: 0000000000000000FFFF00000100007F:D434 0000000000000000FFFF00000100007F:49C8 01 00000000:00000000 00:00000000 00000000  1002        0 555 1 0 20 4 30 10 -1
`;
const server = { address: "127.0.0.1", port: 18_888 };
const caller = (port: number, address = "127.0.0.1") => ({ address, port });

describe("findOwner", () => {
  it("finds the caller's end, not ours", () => expect(findOwner(TCP, caller(0xd431), server, "LE")).toBe(1000));
  it("does not believe the 0 of a socket that nobody holds any more", () => {
    expect(findOwner(TCP, caller(0xd432), server, "LE")).toBeUndefined();
    expect(findOwner(TCP, caller(0xd433), server, "LE")).toBeUndefined();
  });
  it("finds IPv6, and IPv4 in IPv6 clothes", () => {
    expect(findOwner(TCP6, caller(0xd431, "::1"), { address: "::1", port: 18_888 }, "LE")).toBe(1001);
    expect(findOwner(TCP6, caller(0xd434), server, "LE")).toBe(1002);
  });
  it("wants both ends to fit", () => {
    expect(findOwner(TCP, caller(0xd431), { ...server, port: 1 }, "LE")).toBeUndefined();
    expect(findOwner(TCP, caller(0xd431, "127.0.0.2"), server, "LE")).toBeUndefined();
    expect(findOwner("", caller(1), server, "LE")).toBeUndefined();
  });
  it("reads the words of a big-endian kernel", () => {
    const line = "   0: 7F000001:D431 7F000001:49C8 01 0:0 0:0 0  1003        0 666";
    expect(findOwner(line, caller(0xd431), server, "BE")).toBe(1003);
  });
});
