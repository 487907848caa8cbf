import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LlmEvent } from "../../src/schema/event.ts";
import { message, MessageDeflater, type MessageStyle } from "./websocket-frames.ts";

/** One WebSocket: what both sides say in order, and the calls that must be read from it. `docs`: test/vectors/README.md */
export type SocketVector = {
  readonly id: string;
  readonly provider: string;
  readonly host: string;
  readonly path: string;
  /** `client`, `server` or `server_binary`, one key each */
  readonly frames: readonly Readonly<Record<string, string>>[];
  readonly ended: "complete" | "aborted" | "error";
  readonly expect: { readonly calls: readonly Readonly<Record<string, unknown>>[] };
};

const DIRECTORY = join(import.meta.dirname, "..", "vectors", "websocket");

export function loadSocketVectors(): readonly SocketVector[] {
  return readdirSync(DIRECTORY)
    .sort()
    .map((name) => JSON.parse(readFileSync(join(DIRECTORY, name), "utf8")) as SocketVector);
}

export type SocketStyle = { readonly fragments: number; readonly deflate: "none" | "takeover" | "no takeover" };

/** The ways in which the messages of a vector are sent. */
export const SOCKET_STYLES: Readonly<Record<string, SocketStyle>> = {
  plain: { fragments: 1, deflate: "none" },
  "three fragments, pings between": { fragments: 3, deflate: "none" },
  "deflated with context takeover": { fragments: 1, deflate: "takeover" },
  "deflated without context takeover, fragmented": { fragments: 2, deflate: "no takeover" },
};

export const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** Writes the messages of both sides in one style. */
export function socketWriter(style: SocketStyle): {
  client(text: string): Promise<Buffer>;
  server(text: string, opcode: 1 | 2): Promise<Buffer>;
} {
  const deflater = (): MessageDeflater | null => (style.deflate === "none" ? null : new MessageDeflater(style.deflate === "takeover"));
  const client: MessageStyle = { fragments: style.fragments, deflate: deflater(), mask: MASK };
  const server: MessageStyle = { fragments: style.fragments, deflate: deflater() };
  return {
    client: (text) => message(Buffer.from(text), 1, client),
    server: (text, opcode) => message(Buffer.from(text), opcode, server),
  };
}

/** The words of the vectors for a record, as far as a record has them. */
export function callInWords(event: Omit<LlmEvent, "id" | "schema_version" | "timestamp">): Record<string, unknown> {
  return {
    operation: event.operation,
    model: event.model === "unknown" ? null : event.model,
    response_model: event.response_model,
    response_id: event.response_id ?? null,
    input: event.input_tokens,
    output: event.output_tokens,
    total: event.total_tokens,
    cache_read: event.cache_read_tokens,
    cache_write: event.cache_write_tokens,
    reasoning: event.reasoning_tokens,
    source: event.usage_source,
    missing: event.usage_missing ?? null,
    outcome: event.call_outcome,
  };
}
