import type { Recognition } from "../../providers/types.ts";

const TEXT = 1;
const CLOSE = 8;
/** RFC 6455 §7.4.1: the endpoint got a message that violates its policy */
const POLICY_VIOLATION = 1008;
/** a control frame holds 125 bytes, two of which are the code */
const MAX_REASON = 123;

export type SocketRefusal = { readonly rule: string; readonly reason: string; readonly hint?: string };

/** The last frames for a client whose message was refused: an error in the shape that its provider sends in such a socket, and the close. */
export function refusalFrames(refusal: SocketRefusal, recognition: Recognition): Buffer {
  const error = errorMessage(refusal, recognition);
  const reason = clipped(`agentkernel ${refusal.rule}: ${refusal.reason}`);
  const close = Buffer.concat([Buffer.from([POLICY_VIOLATION >> 8, POLICY_VIOLATION & 0xff]), reason]);
  return Buffer.concat([...(error === null ? [] : [serverFrame(TEXT, Buffer.from(JSON.stringify(error)))]), serverFrame(CLOSE, close)]);
}

/** Null where errors come with the close alone. */
function errorMessage({ rule, reason, hint }: SocketRefusal, { shape }: Recognition): object | null {
  const message = hint === undefined ? reason : `${reason} (${hint})`;
  switch (shape) {
    case "openai-responses": {
      const error = { type: "policy_denied", code: "policy_denied", message, param: null };
      return { type: "error", status: 403, code: error.code, message, param: null, sequence_number: 0, error, rule };
    }
    case "openai-realtime":
    case "openai-live": {
      const error = { type: "policy_denied", code: "policy_denied", message, param: null, event_id: null };
      return { type: "error", event_id: "event_agentkernel", error, rule };
    }
    case "anthropic-messages":
      return { type: "error", error: { type: "permission_error", message }, rule };
    default:
      return null;
  }
}

/** Whole characters of at most so many bytes. */
function clipped(text: string): Buffer {
  const bytes = Buffer.from(text);
  let end = Math.min(bytes.length, MAX_REASON);
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** One final frame from the server's side: not masked, not compressed, which every client must take even where compression was agreed on. */
function serverFrame(opcode: number, payload: Buffer): Buffer {
  const first = 0x80 | opcode;
  if (payload.length < 126) return Buffer.concat([Buffer.from([first, payload.length]), payload]);
  if (payload.length > 0xffff) throw new Error("a refusal is short");
  return Buffer.concat([Buffer.from([first, 126, payload.length >> 8, payload.length & 0xff]), payload]);
}
