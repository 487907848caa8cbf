import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { formatLine, GENESIS } from "./chain.ts";
import { FIRST_CHECKPOINT, formatCheckpoint, hashCheckpointLine, isSignatureGood, keyIdOf, parseCheckpoint } from "./checkpoint.ts";
import { trustedKeys } from "./checkpoint-key.ts";

const PAGE = readFileSync(new URL("../../docs/reference/audit-format.md", import.meta.url), "utf8");

/** RFC 8032, 7.1, test 1: a key that everybody has. */
const KEY = createPrivateKey({
  key: Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex"),
  ]),
  format: "der",
  type: "pkcs8",
});
const SIGNER = { privateKey: KEY, keyId: keyIdOf(KEY) };

const CHAIN = "chn_01jd7w0qg00000abcdefghjk";
const EVENTS = [
  '{"type":"audit.log","actor":{"kind":"system","user_id":"agentkernel"},"outcome":"info","operation":"start","id":"evt_01jd7w0qg00001abcdefghjk","schema_version":1,"timestamp":"2024-11-21T10:00:00.000Z"}',
  '{"type":"auth.attempt","actor":{"kind":"api_key","user_id":"ci"},"outcome":"deny","method":"api_key","path":"/run","reason":"Schlüssel abgelaufen","id":"evt_01jd7w0qg00002abcdefghjk","schema_version":1,"timestamp":"2024-11-21T10:00:00.250Z"}',
];

const first = formatLine(CHAIN, 1, GENESIS, EVENTS[0] ?? "");
const second = formatLine(CHAIN, 2, first.hash, EVENTS[1] ?? "");
const checkpoint = formatCheckpoint(
  {
    kind: "stop",
    chain: CHAIN,
    seq: 2,
    hash: second.hash,
    segment: "0000000000000001.jsonl",
    bytes: Buffer.byteLength(first.line + second.line),
    time: "2024-11-21T10:00:01.000Z",
  },
  FIRST_CHECKPOINT,
  SIGNER,
);

/** What the page shows, in its order. */
const SHOWN = {
  "line 1": first.line.trimEnd(),
  "line 2": second.line.trimEnd(),
  "input 2": Buffer.from(`audit.v1\0${CHAIN}2${first.hash}${EVENTS[1]}`).toString("base64"),
  "hash 2": second.hash,
  checkpoint: checkpoint,
  "checkpoint hash": hashCheckpointLine(checkpoint),
  "public key": createPublicKey(KEY).export({ type: "spki", format: "pem" }).toString().trim(),
  "key id": SIGNER.keyId,
  head: `agentkernel-chain-head: ${CHAIN}:2:${second.hash}`,
};

it.each(Object.entries(SHOWN))("the page shows %s as the code makes it", (name, text) => {
  const found = new RegExp(`<!-- ${name} -->\\n\`\`\`[a-z]*\\n([\\s\\S]*?)\\n\`\`\``).exec(PAGE)?.[1];
  expect(found).toBe(text);
});

it("the checkpoint of the page verifies with the key of the page", () => {
  expect(isSignatureGood(checkpoint, trustedKeys([createPublicKey(SHOWN["public key"])]))).toBe(true);
  expect(parseCheckpoint(checkpoint)).toMatchObject({ kind: "stop", seq: 2, keyId: SIGNER.keyId });
});
