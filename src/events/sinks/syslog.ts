import { isIP } from "node:net";
import { connect, getCACertificates, type TLSSocket } from "node:tls";
import { messageOf } from "../../base/error.ts";
import type { Event } from "../../schema/event.ts";
import { CONNECT_MS, TOTAL_MS } from "./http-client.ts";
import { DELIVERED, flatten, type Poison, type Sink, type SinkAnswer, type SinkBatch, type SinkItem } from "./sink.ts";

export type SyslogOptions = {
  readonly host: string;
  readonly port: number;
  /** PEM with more roots */
  readonly ca?: string;
  /** bytes of one message, at most; receivers commonly take 2048 or 8192 */
  readonly maxBytes: number;
  /** RFC 5424 §6.2.1; 13 is log audit */
  readonly facility: number;
  readonly hostname: string;
  readonly version: string;
  readonly connectMs?: number;
  readonly totalMs?: number;
};

/** RFC 5424 §6.2.1 */
const SEVERITY: Readonly<Record<Event["outcome"], number>> = { permit: 6, info: 6, deny: 4, error: 3 };
/** RFC 5424 §7.3.1: 1 to 2147483647, then from 1 again */
const SEQUENCE_MAX = 2_147_483_647;

/**
 * RFC 5424 messages over TLS (RFC 5425) with octet counting, the receiver's certificate verified for its name. Success is that
 * every byte was handed to the connection: the protocol has no acknowledgement, so what was on its way when a connection broke may
 * be lost, and a receiver that must not miss an event checks `sequenceId`. A message over `maxBytes` is never cut: it goes to the
 * dead letters.
 */
export class Syslog implements Sink {
  readonly #options: SyslogOptions;
  #socket: TLSSocket | undefined;
  #lastHead = "";

  constructor(options: SyslogOptions) {
    this.#options = options;
  }

  async send(batch: SinkBatch, signal: AbortSignal): Promise<SinkAnswer> {
    const { maxBytes } = this.#options;
    const messages = flatten(batch.items).map(({ body, item, index }) => ({
      index,
      bytes: Buffer.from(this.#format(item, JSON.stringify(body))),
    }));
    const poison = messages.flatMap(({ index, bytes }): Poison[] =>
      bytes.length > maxBytes ? [{ index, reason: `the message has ${bytes.length} bytes, the receiver takes ${maxBytes}` }] : [],
    );
    if (poison.length > 0) return { kind: "rejected", reason: poison[0]?.reason ?? "", poison, rest: "again" };
    const head = this.#headMessage(batch);
    const framed = [...messages.map(({ bytes }) => bytes), ...(head === undefined ? [] : [head])].flatMap((bytes) => [
      Buffer.from(`${bytes.length} `),
      bytes,
    ]);
    try {
      const socket = await this.#connected(signal);
      await this.#write(socket, Buffer.concat(framed), signal);
      if (batch.mark !== undefined) this.#lastHead = batch.mark.head;
      return DELIVERED;
    } catch (error) {
      this.#drop();
      return { kind: "retry", reason: `${this.#options.host}:${this.#options.port}: ${messageOf(error)}` };
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    // what was written is still on its way: end, not destroy
    socket?.end();
    socket?.setTimeout(1_000, () => socket.destroy());
    return Promise.resolve();
  }

  #format({ event, seq }: SinkItem, text: string): string {
    const { facility, hostname, version } = this.#options;
    const priority = facility * 8 + SEVERITY[event.outcome];
    const data = `[meta sequenceId="${((seq - 1) % SEQUENCE_MAX) + 1}"][origin software="agentkernel" swVersion="${header(version, 32)}"]`;
    return `<${priority}>1 ${event.timestamp} ${header(hostname, 255)} agentkernel ${process.pid} ${header(event.type, 32)} ${data} \u{feff}${text}`;
  }

  /** Whenever the chain's head has moved, its signed statement follows as a message of its own. */
  #headMessage({ items, mark }: SinkBatch): Buffer | undefined {
    const last = items.at(-1);
    if (mark === undefined || last === undefined || mark.head === this.#lastHead) return undefined;
    const { facility, hostname } = this.#options;
    const text = `<${facility * 8 + 5}>1 ${last.event.timestamp} ${header(hostname, 255)} agentkernel ${process.pid} audit.head - ${mark.checkpoint ?? mark.head}`;
    const bytes = Buffer.from(text);
    return bytes.length > this.#options.maxBytes ? undefined : bytes;
  }

  async #connected(signal: AbortSignal): Promise<TLSSocket> {
    const held = this.#socket;
    if (held !== undefined && !held.destroyed && held.writable && !held.readableEnded) return held;
    this.#drop();
    const { host, port, ca, connectMs = CONNECT_MS } = this.#options;
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca: [...getCACertificates("default"), ca] }),
    });
    this.#socket = socket;
    // a receiver has nothing to say; reading lets us see its end
    socket.resume();
    // after the handshake an error shows in the next write, which finds the socket destroyed
    socket.on("error", () => socket.destroy());
    await settled(socket, "secureConnect", connectMs, "no connection", signal);
    return socket;
  }

  async #write(socket: TLSSocket, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      socket.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
    await Promise.race([
      written,
      settled(socket, "never", this.#options.totalMs ?? TOTAL_MS, "the receiver did not read", signal, written),
    ]);
  }

  #drop(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}

/** Waits for an event of the socket, its end, the deadline or the signal; with `done` also for that. */
async function settled(
  socket: TLSSocket,
  event: string,
  ms: number,
  late: string,
  signal: AbortSignal,
  done?: Promise<void>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error(`${late} within ${ms / 1000} s`)), ms);
    const onError = (error: Error): void => finish(error);
    const onClose = (): void => finish(new Error("the connection was closed"));
    const onAbort = (): void => finish(new Error("stopped"));
    const onEvent = (): void => finish();
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      socket.off(event, onEvent).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.once(event, onEvent).once("error", onError).once("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
    done?.then(onEvent, onError);
    if (signal.aborted) onAbort();
  });
}

/** A header field: printable ASCII without spaces. */
function header(text: string, max: number): string {
  const clean = text.replace(/[^\u0021-\u007e]/g, "_").slice(0, max);
  return clean === "" ? "-" : clean;
}
