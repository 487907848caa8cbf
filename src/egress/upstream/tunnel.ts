import type { Socket } from "node:net";
import type { Duplex, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";

/**
 * Moves bytes both ways until either side ends or breaks; resolves when both are closed. Never rejects: a break is an end. `back`:
 * what they go through on their way from right to left.
 */
export async function join(left: Duplex, right: Duplex | Socket, back?: Transform): Promise<void> {
  const close = (): void => {
    left.destroy();
    right.destroy();
  };
  const returning = back === undefined ? pipeline(right, left) : pipeline(right, back, left);
  await Promise.allSettled([pipeline(left, right).catch(close), returning.catch(close)]);
  close();
}
