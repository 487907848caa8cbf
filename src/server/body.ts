import type { IncomingMessage } from "node:http";
import { AppError } from "../base/error.ts";

export const MAX_BODY_BYTES = 16 * 1024 * 1024;

/**
 * The JSON body of a request, or undefined when it has none.
 * @throws AppError TOO_LARGE past 16 MiB, before the rest is read; VALIDATION for another content type or broken JSON
 */
export async function readJsonBody(incoming: IncomingMessage): Promise<{ readonly value: unknown; readonly text: string }> {
  const announced = Number(incoming.headers["content-length"] ?? 0);
  if (announced > MAX_BODY_BYTES) throw tooLarge();
  const bytes = await readCapped(incoming);
  if (bytes.length === 0) return { value: undefined, text: "" };
  const type = incoming.headers["content-type"] ?? "";
  // a page of another origin may send text/plain without asking first, but not this
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw new AppError("VALIDATION", "the body's Content-Type is not application/json", { hint: "send Content-Type: application/json" });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError("VALIDATION", "body: not UTF-8", { cause });
  }
  try {
    return { value: JSON.parse(text), text };
  } catch {
    // without V8's message as its cause, which quotes the text around the fault: a secret may stand there
    throw new AppError("VALIDATION", "body: not JSON");
  }
}

function readCapped(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (settle: () => void): void => {
      incoming.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
      settle();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) {
        incoming.pause();
        done(() => reject(tooLarge()));
      } else chunks.push(chunk);
    };
    const onEnd = (): void => done(() => resolve(Buffer.concat(chunks)));
    const onError = (cause: Error): void => done(() => reject(new AppError("VALIDATION", "the body broke off", { cause })));
    const onClose = (): void => done(() => reject(new AppError("VALIDATION", "the body broke off")));
    incoming.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose);
    if (incoming.readableEnded) onEnd();
    else if (incoming.destroyed) onClose();
  });
}

function tooLarge(): AppError {
  return new AppError("TOO_LARGE", `the body is larger than ${MAX_BODY_BYTES} bytes`);
}
