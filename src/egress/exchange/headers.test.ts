import { expect, test } from "vitest";
import { filterTrailers, headerOf, readRequestHead, readResponseHead, withoutHeader } from "./headers.ts";

test("a request's end-to-end headers keep order, case and duplicates", () => {
  const head = readRequestHead(["Host", "a.com", "X-B", "1", "accept", "x", "X-B", "2", "Content-Length", "5", "Content-Type", "t"], "1.1");
  expect(head).toMatchObject({
    headers: ["X-B", "1", "accept", "x", "X-B", "2", "Content-Type", "t"],
    host: "a.com",
    contentLength: 5,
    chunked: false,
    contentType: "t",
  });
});

test("hop-by-hop headers, those that Connection names, and Proxy-* are dropped", () => {
  const raw = [
    "Host",
    "a",
    "Connection",
    "close, X-Drop",
    "X-Drop",
    "1",
    "x-drop",
    "2",
    "Keep-Alive",
    "5",
    "Proxy-Foo",
    "1",
    "TE",
    "gzip",
    "Upgrade",
    "h2c",
    "Trailer",
    "x",
    "X-Keep",
    "1",
  ];
  expect(readRequestHead(raw, "1.1")).toMatchObject({ headers: ["X-Keep", "1"], upgrade: null });
  expect(readRequestHead(["Host", "a", "TE", "trailers"], "1.1")).toMatchObject({ headers: ["TE", "trailers"] });
  expect(readRequestHead(["Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket"], "1.1")).toMatchObject({
    upgrade: "websocket",
    headers: [],
  });
});

test.each([
  ["two hosts", ["Host", "a", "Host", "a"]],
  ["two lengths", ["Content-Length", "1", "Content-Length", "1"]],
  ["a length that is no number", ["Content-Length", "0x1"]],
  ["a coding beside chunked", ["Transfer-Encoding", "gzip, chunked"]],
  ["chunked twice", ["Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"]],
  ["length and chunked", ["Content-Length", "1", "Transfer-Encoding", "chunked"]],
  ["Connection naming framing", ["Connection", "transfer-encoding"]],
  ["a broken Connection", ["Connection", "a b"]],
])("%s is a 400", (_name, raw) => {
  expect(readRequestHead(raw, "1.1")).toMatchObject({ status: 400 });
});

test("chunked does not exist in HTTP/1.0 and HTTP/2; unknown expectations are 417", () => {
  expect(readRequestHead(["Transfer-Encoding", "chunked"], "1.0")).toMatchObject({ status: 400 });
  expect(readRequestHead(["Transfer-Encoding", "chunked"], "2")).toMatchObject({ status: 400 });
  expect(readRequestHead(["Expect", "magic"], "1.1")).toMatchObject({ status: 417 });
  expect(readRequestHead(["Expect", "100-Continue"], "1.1")).toMatchObject({ expectsContinue: true });
});

test("a response loses its hop's headers and keeps its length", () => {
  const raw = [
    "Connection",
    "x-a",
    "X-A",
    "1",
    "Transfer-Encoding",
    "chunked",
    "Keep-Alive",
    "1",
    "Upgrade",
    "h2",
    "Proxy-Authenticate",
    "x",
    "Content-Length",
    "3",
    "Set-Cookie",
    "a",
    "Set-Cookie",
    "b",
  ];
  expect(readResponseHead(raw)).toEqual({ headers: ["Content-Length", "3", "Set-Cookie", "a", "Set-Cookie", "b"], contentLength: 3 });
});

test("trailers that would change framing or credentials stay behind", () => {
  expect(filterTrailers(["Content-Length", "1", "Set-Cookie", "a", "grpc-status", "0", "Authorization", "x", "X-Sum", "1"])).toEqual([
    "grpc-status",
    "0",
    "X-Sum",
    "1",
  ]);
});

test("lookup and removal go by lower-case name", () => {
  expect(headerOf(["X-A", "1", "x-a", "2"], "x-a")).toBe("1");
  expect(withoutHeader(["X-A", "1", "B", "2", "x-a", "3"], "x-a")).toEqual(["B", "2"]);
});
