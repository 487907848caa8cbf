import { lookup } from "node:dns/promises";
import { AppError } from "../../base/error.ts";
import { Semaphore } from "../../base/semaphore.ts";

export type Resolve = (name: string) => Promise<readonly string[]>;

/** The host's own resolver: /etc/hosts, search order and all, as the operator configured it. */
export const systemResolve: Resolve = async (name) => {
  const found = await lookup(name, { all: true, order: "ipv4first" });
  return found.map((entry) => entry.address);
};

/**
 * Resolves at most so many names at a time, one that is asked for meanwhile only once. The system's resolver has few threads, which names
 * that nobody answers would hold for everybody; whoever asks for such names waits for them alone. A lookup counts until it is really
 * over, whoever still waits for it.
 *
 * @param timeoutMs after which a name that still waits is not looked up any more
 */
export function inTurn(resolve: Resolve, limit: number, timeoutMs: number): Resolve {
  const turns = new Semaphore(limit);
  const pending = new Map<string, Promise<readonly string[]>>();
  const lookUp = async (name: string): Promise<readonly string[]> => {
    using _turn = await turns.acquire(AbortSignal.timeout(timeoutMs)).catch((cause: unknown) => {
      throw new AppError("TIMEOUT", `${name} was not resolved within ${timeoutMs} ms: others of this sandbox are not answered`, { cause });
    });
    return await resolve(name);
  };
  return (name) => {
    let answer = pending.get(name);
    if (answer === undefined) {
      answer = lookUp(name).finally(() => pending.delete(name));
      pending.set(name, answer);
    }
    return answer;
  };
}

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
