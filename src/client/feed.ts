import { setTimeout as delay } from "node:timers/promises";
import { AppError, ERRORS, type ErrorCode } from "../base/error.ts";
import type { Event } from "../schema/event.ts";
import { readEvents, type SseEvent } from "./sse.ts";
import type { RequestSpec, Transport } from "./transport.ts";

/** What `/run/stream` and `/exec/stream` send. An `error` event is thrown instead. */
export type CommandEvent =
  | { readonly type: "started"; readonly data: { readonly request_id: string } }
  | {
      readonly type: "progress";
      readonly data: { readonly message: string; readonly sandbox?: string; readonly exec_id?: string; readonly pid?: number };
    }
  | { readonly type: "output"; readonly data: { readonly data: string; readonly stream: "stdout" | "stderr" } }
  | {
      readonly type: "done";
      readonly data: {
        readonly exit_code: number;
        readonly success: boolean;
        readonly duration_ms: number;
        readonly signal?: string;
        readonly reason?: string;
      };
    };

export type FeedOptions = {
  readonly sandbox?: string;
  /** begin after this event */
  readonly afterId?: string;
  readonly signal?: AbortSignal;
};

/** attempts in a row that found no server before the feed gives up */
const MAX_ATTEMPTS = 5;
const RETRY_MS = 250;

/** The events of one command; ends after `done`. Leaving the loop ends the command. */
export async function* readCommand(transport: Transport, spec: RequestSpec): AsyncGenerator<CommandEvent> {
  const response = await transport.stream({ ...spec, headers: { accept: "text/event-stream" } });
  try {
    for await (const event of readEvents(response)) {
      const data = parse(event);
      if (event.event === "error") throw remoteError(data);
      yield { type: event.event, data } as CommandEvent;
      if (event.event === "done") return;
    }
  } finally {
    response.destroy();
  }
  throw new AppError("SERVER_UNREACHABLE", `the connection to ${transport.place} was lost while the command was running`);
}

/** Live events. After a break it connects again with the last id. */
export async function* followEvents(transport: Transport, path: string, options: FeedOptions = {}): AsyncGenerator<Event> {
  let afterId = options.afterId ?? "";
  let failures = 0;
  const isOver = (): boolean => options.signal?.aborted === true;
  for (;;) {
    try {
      const response = await transport.stream({
        method: "GET",
        path,
        query: { sandbox: options.sandbox },
        headers: { accept: "text/event-stream", ...(afterId === "" ? {} : { "last-event-id": afterId }) },
        signal: options.signal,
      });
      try {
        for await (const event of readEvents(response)) {
          if (event.event === "gap") break;
          failures = 0;
          afterId = event.id;
          yield parse(event) as Event;
        }
      } finally {
        response.destroy();
      }
    } catch (error) {
      if (isOver()) return;
      // a refusal stays one; a broken connection may come back
      if (error instanceof AppError && error.code !== "SERVER_UNREACHABLE") throw error;
      failures += 1;
      if (failures >= MAX_ATTEMPTS) throw error;
    }
    if (isOver()) return;
    await delay(RETRY_MS * Math.max(1, failures), undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
      () => "aborted: seen below",
    );
    if (isOver()) return;
  }
}

function parse(event: SseEvent): unknown {
  try {
    return JSON.parse(event.data);
  } catch (cause) {
    throw new AppError("UPSTREAM_ERROR", `an event of type ${event.event} holds no JSON`, { cause });
  }
}

function remoteError(data: unknown): AppError {
  const { message, code, hint } = (typeof data === "object" && data !== null ? data : {}) as {
    message?: unknown;
    code?: unknown;
    hint?: unknown;
  };
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "INTERNAL";
  return new AppError(known, typeof message === "string" ? message : "the command failed", typeof hint === "string" ? { hint } : {});
}
