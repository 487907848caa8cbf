import { lookup } from "node:dns/promises";
import { AppError } from "../../base/error.ts";

export type Resolve = (name: string) => Promise<readonly string[]>;

/** The host's own resolver: /etc/hosts, search order and all, as the operator configured it. */
export const systemResolve: Resolve = async (name) => {
  const found = await lookup(name, { all: true, order: "ipv4first" });
  return found.map((entry) => entry.address);
};

/**
 * Resolves with a deadline.
 * @throws AppError UPSTREAM_ERROR when the name does not exist, TIMEOUT past the deadline
 */
export async function resolveWithin(resolve: Resolve, name: string, timeoutMs: number): Promise<readonly string[]> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new AppError("TIMEOUT", `${name} was not resolved within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([resolve(name), late.promise]);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("UPSTREAM_ERROR", `${name} could not be resolved`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
