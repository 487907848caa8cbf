import {
  constants,
  performServerHandshake,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { Duplex, Readable } from "node:stream";
import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import type { Connection } from "../accept/connection.ts";
import type { Runtime } from "../runtime.ts";
import type { Downstream } from "./exchange.ts";
import type { HeaderList } from "./header-list.ts";
import { KEEP_ALIVE_MS } from "./h1.ts";
import { readRequestHead } from "./headers.ts";
import { newExchange } from "./new-exchange.ts";

const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 16 * 1024 * 1024;
const MAX_STREAMS = 100;
// no header that the origin did not send; Node's own types do not know of it
const RESPONSE: ServerStreamResponseOptions & { readonly sendDate: boolean } = { waitForTrailers: true, sendDate: false };

export interface Http2 {
  accept(connection: Connection, socket: Duplex): void;
}

/** HTTP/2 with sandboxes, over TLS only. Upstream every stream is an HTTP/1.1 exchange of its own. */
export function createHttp2(runtime: Runtime): Http2 {
  const onStream = (
    connection: Connection,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    raw: HeaderList,
  ): void => {
    const startedAt = runtime.clock.monotonic();
    stream.on("error", (error) => runtime.log.debug("an HTTP/2 stream failed", { error: messageOf(error) }));
    connection.deadlineAt = 0;
    const authority = headers[":authority"];
    const plain = regular(raw);
    const head = readRequestHead(plain, "2");
    const fault =
      "reason" in head
        ? head.reason
        : head.chunked || head.upgrade !== null
          ? "the request has headers that do not exist in HTTP/2"
          : headers[":method"] !== "CONNECT" && headers[":scheme"] !== "https"
            ? "the request's scheme is not https"
            : authority !== undefined && head.host !== undefined && head.host !== authority
              ? ":authority and Host differ"
              : undefined;
    if (fault !== undefined || "reason" in head) {
      const facts = { host: connection.expected.text, port: connection.destination.port };
      connection.attachment.decided("http", "deny", BUILT_IN_RULES.protocol, fault ?? "malformed", facts);
      stream.respond({ ":status": 400 }, { endStream: true });
      return;
    }
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
    const downstream = new Http2Downstream(stream, hasBody ? stream : null);
    const request = { ...head, host: authority ?? head.host };
    const method = headers[":method"] ?? "";
    runtime.serve(newExchange({ connection, downstream, method, rawTarget: headers[":path"] ?? "", request, isUpgrade: false, startedAt }));
  };

  return {
    accept: (connection, socket) => {
      const session: ServerHttp2Session = performServerHandshake(socket, {
        settings: {
          initialWindowSize: STREAM_WINDOW,
          maxConcurrentStreams: MAX_STREAMS,
          maxHeaderListSize: runtime.limits.headBytes,
          enableConnectProtocol: false,
        },
        maxSessionMemory: 32,
        maxHeaderListPairs: 256,
        peerMaxConcurrentStreams: 0,
        // what an origin says twice is passed on twice, as over HTTP/1.1
        strictSingleValueFields: false,
      });
      session.on("error", (error) => {
        runtime.log.debug("an HTTP/2 connection failed", { error: messageOf(error) });
        connection.destroy();
      });
      session.on("stream", (stream, headers, flags, raw) => {
        try {
          onStream(connection, stream, headers, flags, raw);
        } catch (error) {
          // a fault here costs this connection and never the process that carries all others
          runtime.log.error("a request could not be begun", { error: messageOf(error) });
          connection.destroy();
        }
      });
      // the session has no handle before that
      session.once("connect", () => session.setLocalWindowSize(SESSION_WINDOW));
      session.setTimeout(KEEP_ALIVE_MS, () => {
        if (connection.exchanges.size === 0) session.close();
      });
    },
  };
}

class Http2Downstream implements Downstream {
  readonly protocol = "h2";
  readonly source: Readable | null;
  readonly #stream: ServerHttp2Stream;
  #trailers: HeaderList = [];
  #ended = false;

  constructor(stream: ServerHttp2Stream, source: Readable | null) {
    this.#stream = stream;
    this.source = source;
  }

  get headSent(): boolean {
    return this.#stream.headersSent;
  }

  proceed(): void {
    if (!this.#stream.destroyed) this.#stream.additionalHeaders({ ":status": 100 });
  }

  inform(status: number, headers: HeaderList): void {
    if (!this.#stream.destroyed && !this.headSent) this.#stream.additionalHeaders(fields(status, headers));
  }

  head(status: number, _statusText: string, headers: HeaderList): void {
    if (this.#stream.destroyed) return;
    this.#stream.respond(fields(status, headers), RESPONSE);
    // without trailers this ends the stream with an empty DATA frame; a close would be a reset to the client
    this.#stream.once("wantTrailers", () => this.#stream.sendTrailers(fields(undefined, this.#trailers)));
  }

  write(chunk: Uint8Array): boolean {
    if (this.#stream.destroyed) return true;
    return this.#stream.write(chunk);
  }

  end(trailers: HeaderList): void {
    this.#ended = true;
    this.#trailers = trailers;
    if (this.#stream.destroyed) return;
    this.#stream.end();
    // the client need not send the rest of a body that was answered already (RFC 9113 §8.1)
    if (this.source !== null && !this.source.readableEnded) this.source.resume();
  }

  reset(): void {
    this.#ended = true;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  onDrain(listener: () => void): void {
    this.#stream.on("drain", listener);
  }

  onGone(listener: () => void): void {
    this.#stream.on("close", () => {
      if (!this.#ended) listener();
    });
  }
}

/** Regular fields of a raw list: no pseudo headers; cookies, which HTTP/2 may split, in one again (RFC 9113 §8.2.3). */
function regular(raw: HeaderList): HeaderList {
  const out: string[] = [];
  let cookieAt = -1;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    if (name.startsWith(":")) continue;
    if (name === "cookie" && cookieAt !== -1) {
      out[cookieAt] = `${out[cookieAt] ?? ""}; ${value}`;
      continue;
    }
    if (name === "cookie") cookieAt = out.length + 1;
    out.push(name, value);
  }
  return out;
}

function fields(status: number | undefined, headers: HeaderList): OutgoingHttpHeaders {
  const out: Record<string, string | string[] | number> = Object.create(null) as Record<string, string | string[]>;
  if (status !== undefined) out[":status"] = status;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] ?? "").toLowerCase();
    const value = headers[i + 1] ?? "";
    // connection-specific in HTTP/2, whatever the origin meant by it
    if (name === "http2-settings" || name === "upgrade") continue;
    const known = out[name];
    if (known === undefined) out[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else out[name] = [String(known), value];
  }
  return out;
}
