/**
 * The model provider of the bench, as lean as Node can be: a fixed answer in OpenAI's chat shape, the same as a stream, and large
 * bodies. `upstream-program.ts '{"key","cert"}'` answers the port it listens on.
 */
import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CHAT_ANSWER, DOWNLOAD_PATH, STREAM_HEADER, STREAM_LAST, STREAM_PIECE, UPLOAD_PATH } from "./traffic.ts";
import { parameters, serve } from "./program.ts";

const { key, cert } = parameters<{ readonly key: string; readonly cert: string }>();

const answer = Buffer.from(CHAT_ANSWER);
const answerHead = { "content-type": "application/json", "content-length": String(answer.length), "x-request-id": "req_bench" };
const block = Buffer.alloc(1 << 20, "0123456789abcdef");

/** streams in progress, written on one clock so that the stand-in's own timers do not show */
const streams = new Map<ServerResponse, { left: number; skip: number }>();
let clock: NodeJS.Timeout | undefined;
const PHASES = 20;

function startStream(response: ServerResponse, header: string): void {
  const [pieces = 0, intervalMs = 0] = header.split(",").map(Number);
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(STREAM_PIECE);
  streams.set(response, { left: pieces - 1, skip: Math.floor(Math.random() * PHASES) });
  response.once("close", () => streams.delete(response));
  clock ??= setInterval(writePieces, intervalMs / PHASES).unref();
}

function writePieces(): void {
  for (const [response, state] of streams) {
    state.skip -= 1;
    if (state.skip >= 0) continue;
    state.skip = PHASES - 1;
    state.left -= 1;
    if (state.left > 0) response.write(STREAM_PIECE);
    else {
      streams.delete(response);
      response.end(STREAM_LAST);
    }
  }
}

function download(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": String(bytes) });
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const part = left >= block.length ? block : block.subarray(0, left);
      left -= part.length;
      if (!response.write(part)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

function respond(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? "/";
  if (url.startsWith(DOWNLOAD_PATH)) return download(response, Number(url.slice(DOWNLOAD_PATH.length)));
  const stream = request.headers[STREAM_HEADER];
  if (typeof stream === "string") return startStream(response, stream);
  response.writeHead(200, answerHead);
  response.end(answer);
}

const server = createServer({ key, cert, keepAliveTimeout: 600_000 }, (request, response) => {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on("end", () => {
    if (request.url === UPLOAD_PATH && bytes === 0) response.writeHead(400).end();
    else respond(request, response);
  });
});
server.listen(0, "127.0.0.1", 4096, () => serve({ port: (server.address() as AddressInfo).port }, {}));
