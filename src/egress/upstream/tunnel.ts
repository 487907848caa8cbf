import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Moves bytes both ways until either side ends or breaks; resolves when both are closed. Never rejects: a break is an end. */
export async function join(left: Duplex, right: Duplex | Socket): Promise<void> {
  const close = (): void => {
    left.destroy();
    right.destroy();
  };
  await Promise.allSettled([pipeline(left, right).catch(close), pipeline(right, left).catch(close)]);
  close();
}
