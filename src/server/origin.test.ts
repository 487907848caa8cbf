import { describe, expect, it } from "vitest";
import { checkOrigin, hostName, isLoopbackAddress } from "./origin.ts";

const rules = { allowedHosts: ["kernel.example"], allowedOrigins: ["https://console.example"] };
const facts = { host: "127.0.0.1:18888", origin: undefined, secFetchSite: undefined, localAddress: "127.0.0.1" };
const check = (change: Partial<Parameters<typeof checkOrigin>[0]>): void => checkOrigin({ ...facts, ...change }, rules);

describe("checkOrigin", () => {
  it.each(["localhost", "localhost:80", "127.0.0.1", "127.9.9.9:1", "[::1]:18888", "kernel.example:1", "KERNEL.example"])(
    "takes the host %s",
    (host) => check({ host }),
  );

  it.each([
    undefined,
    "",
    "evil.example",
    "localhost.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "0x7f.1",
    "127.1",
    "10.0.0.1",
    "[::2]",
    "a@localhost",
    "localhost:80:80",
    "localhost/x",
    "[::1",
  ])("refuses the host %j", (host) => expect(() => check({ host })).toThrowError(expect.objectContaining({ code: "FORBIDDEN" })));

  it("takes an address as host when it is the one that was connected to", () => {
    check({ host: "10.1.2.3:18888", localAddress: "10.1.2.3" });
    check({ host: "10.1.2.3:18888", localAddress: "::ffff:10.1.2.3" });
    expect(() => check({ host: "10.1.2.4", localAddress: "10.1.2.3" })).toThrow();
  });

  it("takes its own origin and allowed ones", () => {
    check({ origin: "http://127.0.0.1:18888" });
    check({ origin: "https://console.example", secFetchSite: "cross-site" });
  });

  it.each(["null", "http://127.0.0.1:1", "https://evil.example", "https://console.example.evil.example", "file://"])(
    "refuses the origin %s",
    (origin) => expect(() => check({ origin })).toThrowError(expect.objectContaining({ code: "FORBIDDEN" })),
  );

  it("refuses any unknown origin on the Unix socket, whatever the host", () => {
    check({ localAddress: undefined, host: "anything" });
    expect(() => check({ localAddress: undefined, host: "localhost", origin: "http://localhost" })).toThrow();
  });

  it.each(["cross-site", "same-site"])("refuses what a page requests %s without an origin", (secFetchSite) =>
    expect(() => check({ secFetchSite })).toThrow(),
  );
});

it("reads host names", () => {
  expect(["a:1", "[::1]:2", "A.b", "a b", "a:999999"].map(hostName)).toEqual(["a", "::1", "a.b", undefined, undefined]);
});

it("knows loopback addresses in both clothes", () => {
  expect(["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"].every(isLoopbackAddress)).toBe(true);
  expect(["128.0.0.1", "::2", "::ffff:10.0.0.1", "", "127.evil"].some(isLoopbackAddress)).toBe(false);
});
