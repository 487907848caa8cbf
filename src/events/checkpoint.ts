import { createHash, createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";
import { GENESIS } from "./chain.ts";
import { parseJson } from "../base/parse-json.ts";

/**
 * A signed statement about a chain. `checkpoint`: everything up to `seq` is on disk. `seal`: the same, and the segment is
 * finished. `stop`: the same, and the chain is finished. `abandon`: after a failed fdatasync only the first `bytes` of the segment count.
 * `tombstone`: the segment was removed by retention, `seq` and `hash` being its last line's.
 */
export type CheckpointKind = "checkpoint" | "seal" | "stop" | "abandon" | "tombstone";

export type Checkpoint = {
  readonly kind: CheckpointKind;
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
  /** file name of the segment that holds `seq` */
  readonly segment: string;
  /** length of the segment up to and with the line `seq` */
  readonly bytes: number;
  /** RFC 3339 */
  readonly time: string;
};

export type SignedCheckpoint = Checkpoint & {
  readonly keyId: string;
  /** SHA-256 of the checkpoint line before this one, without its newline; zeros for the first */
  readonly prevCheckpoint: string;
};

export type Signer = { readonly privateKey: KeyObject; readonly keyId: string };
export type TrustedKeys = ReadonlyMap<string, KeyObject>;

const DOMAIN = "audit.checkpoint.v1\0";
const LINE = /^\{"checkpoint":(\{"v":1,[ -~]*\}),"sig":"([A-Za-z0-9+/]{86}==)"\}$/;

/** First 16 hex digits of the SHA-256 of the public key's SubjectPublicKeyInfo. */
export function keyIdOf(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex")
    .slice(0, 16);
}

/** One line, without its newline. */
export function formatCheckpoint(checkpoint: Checkpoint, prevCheckpoint: string, signer: Signer): string {
  const { kind, chain, seq, hash: head, segment, bytes, time } = checkpoint;
  const body = JSON.stringify({
    v: 1,
    kind,
    chain,
    seq,
    hash: head,
    segment,
    bytes,
    time,
    key_id: signer.keyId,
    prev_checkpoint: prevCheckpoint,
  });
  const signature = sign(null, Buffer.from(DOMAIN + body), signer.privateKey).toString("base64");
  return `{"checkpoint":${body},"sig":"${signature}"}`;
}

export function hashCheckpointLine(line: string): string {
  return hash("sha256", line, "hex");
}

/** The statement of a line, its signature unchecked; undefined when it is not a checkpoint line. */
export function parseCheckpoint(line: string): SignedCheckpoint | undefined {
  const body = LINE.exec(line)?.[1];
  if (body === undefined) return undefined;
  const value = parseJson(body);
  return isBody(value)
    ? {
        kind: value.kind,
        chain: value.chain,
        seq: value.seq,
        hash: value.hash,
        segment: value.segment,
        bytes: value.bytes,
        time: value.time,
        keyId: value.key_id,
        prevCheckpoint: value.prev_checkpoint,
      }
    : undefined;
}

export function isSignatureGood(line: string, keys: TrustedKeys): boolean {
  const [, body = "", signature = ""] = LINE.exec(line) ?? [];
  const key = keys.get(parseCheckpoint(line)?.keyId ?? "");
  const raw = Buffer.from(signature, "base64");
  // the text must be the one encoding of these bytes, or a flipped padding bit would pass
  return key !== undefined && raw.toString("base64") === signature && verify(null, Buffer.from(DOMAIN + body), key, raw);
}

export const FIRST_CHECKPOINT = GENESIS;

type Body = {
  kind: CheckpointKind;
  chain: string;
  seq: number;
  hash: string;
  segment: string;
  bytes: number;
  time: string;
  key_id: string;
  prev_checkpoint: string;
};

const KINDS: ReadonlySet<unknown> = new Set<CheckpointKind>(["checkpoint", "seal", "stop", "abandon", "tombstone"]);

function isBody(value: unknown): value is Body {
  if (typeof value !== "object" || value === null) return false;
  const body = value as Readonly<Record<string, unknown>>;
  return (
    KINDS.has(body["kind"]) &&
    Number.isSafeInteger(body["seq"]) &&
    Number.isSafeInteger(body["bytes"]) &&
    ["chain", "hash", "segment", "time", "key_id", "prev_checkpoint"].every((key) => typeof body[key] === "string")
  );
}
