import { expect, test } from "vitest";
import { parseHost, type CanonicalHost } from "../../policy/host.ts";
import { identify, type Claims } from "./identity.ts";

function host(text: string): CanonicalHost {
  const parsed = parseHost(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
}

const base: Claims = {
  scheme: "https",
  expected: host("a.com"),
  serverName: { text: "a.com" },
  port: 443,
  method: "GET",
  target: "/x?y",
  hostHeader: "a.com",
};

test("one name everywhere is a target", () => {
  expect(identify(base)).toMatchObject({ scheme: "https", host: { text: "a.com" }, port: 443, path: "/x", query: "?y" });
  expect(identify({ ...base, hostHeader: "A.COM.:443" })).toMatchObject({ host: { text: "a.com" } });
  expect(identify({ ...base, target: "https://a.com/x?y" })).toMatchObject({ path: "/x", query: "?y" });
  expect(identify({ ...base, scheme: "http", serverName: null, port: 80 })).toMatchObject({ port: 80 });
  expect(identify({ ...base, port: 8443, hostHeader: "a.com:8443" })).toMatchObject({ port: 8443 });
});

test.each<[string, Partial<Claims>, number]>([
  ["Host of another", { hostHeader: "b.com" }, 421],
  ["SNI of another", { serverName: { text: "b.com" } }, 421],
  ["address of another", { expected: host("b.com") }, 421],
  ["an address behind a name", { expected: host("1.2.3.4") }, 421],
  ["another port", { hostHeader: "a.com:8443" }, 421],
  ["the scheme's port over another", { port: 8443 }, 421],
  ["absolute target of another host", { target: "https://b.com/" }, 421],
  ["absolute target of another scheme", { target: "http://a.com/" }, 421],
  ["absolute target of another port", { target: "https://a.com:444/" }, 421],
  ["no Host", { hostHeader: undefined }, 400],
  ["a Host that is none", { hostHeader: "a b" }, 400],
  ["a target that is none", { target: "a.com:443" }, 400],
  ["TRACE", { method: "TRACE" }, 405],
  ["CONNECT", { method: "CONNECT", target: "a.com:443" }, 405],
])("%s", (_name, change, status) => {
  expect(identify({ ...base, ...change })).toMatchObject({ status });
});
