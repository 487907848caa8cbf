import { describe, expect, it } from "vitest";
import { awsRole, claimOf, formatAuthorization, parseAuthorization, sha256, sign, type SignedRequest, verify } from "./sigv4.ts";

const KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const S3_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY = sha256("");

const base: SignedRequest = {
  method: "GET",
  path: "/",
  query: "",
  headers: new Map([
    ["host", ["example.amazonaws.com"]],
    ["x-amz-date", ["20150830T123600Z"]],
  ]),
  signedHeaders: ["host", "x-amz-date"],
  payload: EMPTY,
  time: "20150830T123600Z",
  scope: { date: "20150830", region: "us-east-1", service: "service" },
};

describe("signatures that AWS published", () => {
  it("get-vanilla of its test suite", () => {
    expect(sign(base, KEY, "encoded twice")).toBe("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  });

  it("ListUsers of IAM, from the reference", () => {
    const request: SignedRequest = {
      ...base,
      query: "Action=ListUsers&Version=2010-05-08",
      headers: new Map([
        ["host", ["iam.amazonaws.com"]],
        ["content-type", ["application/x-www-form-urlencoded; charset=utf-8"]],
        ["x-amz-date", ["20150830T123600Z"]],
      ]),
      signedHeaders: ["content-type", "host", "x-amz-date"],
      scope: { ...base.scope, service: "iam" },
    };
    expect(sign(request, KEY, "encoded twice")).toBe("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
  });

  const s3 = { time: "20130524T000000Z", scope: { date: "20130524", region: "us-east-1", service: "s3" } };

  it.each([
    [
      "chunks that are signed",
      {},
      "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    ],
    [
      "chunks and trailing headers that are signed",
      { "x-amz-trailer": ["x-amz-checksum-crc32c"] },
      "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    ],
  ])("an upload to S3 of %s, from the reference", (_name, more, signature, payload) => {
    const headers = new Map(
      Object.entries({
        "content-encoding": ["aws-chunked"],
        "content-length": ["66824"],
        host: ["s3.amazonaws.com"],
        "x-amz-content-sha256": [payload],
        "x-amz-date": ["20130524T000000Z"],
        "x-amz-decoded-content-length": ["66560"],
        "x-amz-storage-class": ["REDUCED_REDUNDANCY"],
        ...more,
      }),
    );
    // the one with a trailer has no length
    if ("x-amz-trailer" in more) headers.delete("content-length");
    const request = {
      ...base,
      ...s3,
      method: "PUT",
      path: "/examplebucket/chunkObject.txt",
      headers,
      signedHeaders: [...headers.keys()].toSorted(),
      payload,
    };
    expect(sign(request, S3_KEY, "as sent")).toBe(signature);
  });

  it("an object of S3 with a range, from the reference", () => {
    const request: SignedRequest = {
      ...base,
      ...s3,
      path: "/test.txt",
      headers: new Map([
        ["host", ["examplebucket.s3.amazonaws.com"]],
        ["range", ["bytes=0-9"]],
        ["x-amz-content-sha256", [EMPTY]],
        ["x-amz-date", ["20130524T000000Z"]],
      ]),
      signedHeaders: ["host", "range", "x-amz-content-sha256", "x-amz-date"],
    };
    expect(sign(request, S3_KEY, "as sent")).toBe("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    expect(verify(request, S3_KEY, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")).toBe("as sent");
    expect(
      verify({ ...request, path: "/other.txt" }, S3_KEY, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ).toBeUndefined();
  });

  it("a presigned URL of S3, from the reference", () => {
    const query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
    const request: SignedRequest = {
      ...base,
      ...s3,
      path: "/test.txt",
      query,
      headers: new Map([["host", ["examplebucket.s3.amazonaws.com"]]]),
      signedHeaders: ["host"],
      payload: "UNSIGNED-PAYLOAD",
    };
    expect(sign(request, S3_KEY, "as sent")).toBe("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
  });
});

it("reads what it writes, and nothing that is not whole", () => {
  const text = `AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=${"a".repeat(64)}`;
  const claim = parseAuthorization(text);
  if (claim === undefined) throw new Error("it is one");
  expect(formatAuthorization(claim)).toBe(text);
  for (const other of [
    "Bearer x",
    text.replace("aws4_request", "aws5"),
    text.replace("20150830", "2015-08-30"),
    text.replace("host;", "host;;"),
    text.replace("aaaa", "AAAA"),
    `${text}, Signature=${"b".repeat(64)}`,
    text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
  ])
    expect(parseAuthorization(other)).toBeUndefined();
  expect(claimOf("a/20150830/r/s/aws4_request/more", "host", "a".repeat(64))).toBeUndefined();
});

it("knows the variables of a credential by their ends", () => {
  expect(awsRole("AWS_SECRET_ACCESS_KEY")).toEqual({ credential: "AWS_", role: "key" });
  expect(awsRole("PROD_AWS_ACCESS_KEY_ID")).toEqual({ credential: "PROD_AWS_", role: "id" });
  expect(awsRole("AWS_SESSION_TOKEN")).toEqual({ credential: "AWS_", role: "token" });
  expect(awsRole("OPENAI_API_KEY")).toBeUndefined();
});
