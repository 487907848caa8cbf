/** Server-sent events (WHATWG HTML §9.2), written as fast as the client reads them. */

export type SseMessage = { readonly event: string; readonly data: unknown; readonly id?: string };

/** bytes that may wait for the client before `send` waits */
const HIGH_WATER_BYTES = 256 * 1024;
/** a proxy closes a silent connection after a minute; this keeps it and finds a dead client */
const KEEP_ALIVE_MS = 15_000;

const encoder = new TextEncoder();

/** One stream to one client. */
export class SseStream {
  readonly #left = new AbortController();
  readonly #body: ReadableStream<Uint8Array>;
  readonly #keepAlive: NodeJS.Timeout;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor() {
    this.#body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#wake(),
        cancel: () => this.#end(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER_BYTES }),
    );
    this.#keepAlive = setInterval(() => this.#comment(), KEEP_ALIVE_MS).unref();
  }

  /** aborted when the client has gone or the stream was closed */
  get closed(): AbortSignal {
    return this.#left.signal;
  }

  response(): Response {
    return new Response(this.#body, {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no" },
    });
  }

  /** Resolves when there is room for more; at once, having sent nothing, when the client has gone. */
  async send(message: SseMessage): Promise<void> {
    if (this.#closed || this.#controller === undefined) return;
    this.#controller.enqueue(encoder.encode(formatEvent(message)));
    while (!this.#closed && (this.#controller.desiredSize ?? 1) <= 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    if (this.#closed) return;
    this.#controller?.close();
    this.#end();
  }

  #comment(): void {
    if (!this.#closed && (this.#controller?.desiredSize ?? 0) > 0) this.#controller?.enqueue(encoder.encode(": keep-alive\n\n"));
  }

  #end(): void {
    this.#closed = true;
    clearInterval(this.#keepAlive);
    this.#left.abort();
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

export function formatEvent(message: SseMessage): string {
  // JSON has no raw line break, so one data line always holds it
  const id = message.id === undefined ? "" : `id: ${message.id}\n`;
  return `${id}event: ${message.event}\ndata: ${JSON.stringify(message.data)}\n\n`;
}
