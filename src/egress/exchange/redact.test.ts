import { expect, test } from "vitest";
import { redactHeaders, redactUrl } from "./redact.ts";

test.each([
  ["https://a.com/x?key=S&b=1", "https://a.com/x?key=[redacted]&b=1"],
  ["https://user:S@a.com/x", "https://[redacted]@a.com/x"],
  [
    "https://a.com/?api_key=S&API-KEY=S&access_token=S&sig=S&code=S",
    "https://a.com/?api_key=[redacted]&API-KEY=[redacted]&access_token=[redacted]&sig=[redacted]&code=[redacted]",
  ],
  [
    "https://a.com/?X-Amz-Signature=S&X-Amz-Credential=S&x-goog-signature=S",
    "https://a.com/?X-Amz-Signature=[redacted]&X-Amz-Credential=[redacted]&x-goog-signature=[redacted]",
  ],
  ["https://a.com/?%6bey=S&k%65y=S", "https://a.com/?%6bey=[redacted]&k%65y=[redacted]"],
  ["https://a.com/?refresh_token=S#f", "https://a.com/?refresh_token=[redacted]"],
  ["https://a.com/?a=1&&b&model=x", "https://a.com/?a=1&&b&model=x"],
  ["https://a.com/?%zz=1", "https://a.com/?%zz=1"],
  ["https://a.com/a@b", "https://a.com/a@b"],
])("%s", (url, expected) => {
  expect(redactUrl(url)).toBe(expected);
});

test("a long URL is capped, and a secret does not survive at the cut", () => {
  const url = redactUrl(`https://a.com/?${"a=1&".repeat(600)}key=SECRET`);
  expect(url.length).toBeLessThan(2100);
  expect(url).not.toContain("SECRET");
});

test("credential headers are replaced, whatever their case; others are capped", () => {
  const headers = [
    "Authorization",
    "S",
    "x-API-key",
    "S",
    "Cookie",
    "S",
    "Set-Cookie",
    "S",
    "X-Goog-Api-Key",
    "S",
    "X-Auth-Token",
    "S",
    "Accept",
    "a",
    "X-Long",
    "x".repeat(1000),
  ];
  const safe = redactHeaders(headers);
  expect(safe.filter((value) => value === "S")).toEqual([]);
  expect(safe[13]).toBe("a");
  expect(safe[15]?.length).toBeLessThan(600);
});
