import { messageOf } from "../../base/error.ts";
import { DELIVERED, type Sink } from "./sink.ts";

/** Writes a text somewhere and resolves when it was taken. */
export type TextWriter = (text: string) => Promise<void>;

/**
 * One JSON line for each event on this process's stdout. Success is that the stream took the text: what its reader does with it is
 * not known, so this destination is never durable.
 */
export function createStdout(write: TextWriter): Sink {
  return {
    send: async ({ items }) => {
      try {
        await write(items.flatMap(({ bodies }) => bodies.map((body) => `${JSON.stringify(body)}\n`)).join(""));
        return DELIVERED;
      } catch (error) {
        return { kind: "retry", reason: `stdout: ${messageOf(error)}` };
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
