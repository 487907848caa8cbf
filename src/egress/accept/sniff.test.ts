import { expect, test } from "vitest";
import { sniff } from "./sniff.ts";

test.each([
  ["", "more"],
  ["\x16", "tls"],
  ["G", "more"],
  ["GET", "more"],
  ["GET ", "http1"],
  ["M-SEARCH * HTTP/1.1", "http1"],
  ["P", "more"],
  ["PR", "more"],
  ["PRI * HTTP/2.0\r", "more"],
  ["PRI * HTTP/2.0\r\n", "h2"],
  ["PROPFIND / HTTP/1.1", "http1"],
  ["get / HTTP/1.1", "garbage"],
  ["\x00", "garbage"],
  ["SSH-2.0-x", "garbage"],
  ["GET\t/ HTTP/1.1", "garbage"],
  ["ABCDEFGHIJKLMNOP", "garbage"],
  ["\x80\x2e\x01", "garbage"],
] as const)("%j looks like %s", (text, expected) => {
  expect(sniff(Buffer.from(text, "latin1"))).toBe(expected);
});
