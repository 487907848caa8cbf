import { expect, test } from "vitest";
import { dnsQuery } from "../../../test/support/gateway/fixture.ts";
import { readQuery, writeAnswer, writeFormatError } from "./dns-message.ts";

test("a question is read and answered with the question repeated", () => {
  const bytes = dnsQuery("a.Example.com", 1, 0xbeef);
  const read = readQuery(bytes);
  if (read.kind !== "query") throw new Error(read.kind);
  expect(read.query).toMatchObject({ id: 0xbeef, name: "a.Example.com", type: 1, class: 1, edns: false, recursionDesired: true });
  const answer = writeAnswer(read.query, { rcode: 0, address: "198.18.0.7", ttlSeconds: 60 });
  expect(answer.subarray(0, 12).toString("hex")).toBe("beef85800001000100000000");
  expect(answer.subarray(12, 12 + read.query.question.length).equals(Buffer.from(read.query.question))).toBe(true);
  expect([...answer.subarray(-4)]).toEqual([198, 18, 0, 7]);
});

test("EDNS is answered with EDNS", () => {
  const bytes = Buffer.concat([dnsQuery("a.com"), Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])]);
  bytes.writeUInt16BE(1, 10);
  const read = readQuery(bytes);
  if (read.kind !== "query") throw new Error(read.kind);
  expect(read.query.edns).toBe(true);
  const answer = writeAnswer(read.query, { rcode: 5 });
  expect(answer.readUInt16BE(10)).toBe(1);
  expect(answer.subarray(-11).toString("hex")).toBe("00002904d0000000000000");
});

test("responses are never answered; broken messages are, with an error", () => {
  const response = dnsQuery("a.com");
  response[2] = 0x81;
  expect(readQuery(response).kind).toBe("drop");
  expect(readQuery(Buffer.alloc(11)).kind).toBe("drop");
  const pointer = Buffer.concat([dnsQuery("a.com").subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]);
  expect(readQuery(pointer)).toEqual({ kind: "malformed", id: 0x1234 });
  const cut = dnsQuery("a.com").subarray(0, -1);
  expect(readQuery(cut).kind).toBe("malformed");
  const two = dnsQuery("a.com");
  two[5] = 2;
  expect(readQuery(two).kind).toBe("malformed");
  expect(readQuery(dnsQuery(Array.from({ length: 5 }, () => "a".repeat(60)).join("."))).kind).toBe("malformed");
  expect(writeFormatError(7).toString("hex")).toBe("000780810000000000000000");
});

test("a dot within a label is not a dot between labels", () => {
  const bytes = Buffer.concat([dnsQuery("x").subarray(0, 12), Buffer.from([3]), Buffer.from("a.b"), Buffer.from([0, 0, 1, 0, 1])]);
  const read = readQuery(bytes);
  expect(read.kind === "query" && read.query.name).toBe("a\\.b");
});
