import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { connect, type AddressInfo, type Server as NetServer } from "node:net";
import { dirname } from "node:path";
import { AppError, errnoOf } from "../base/error.ts";

/** sun_path of unix(7) holds 108 bytes, the last of them 0 */
const MAX_SOCKET_PATH_BYTES = 107;
const PROBE_MS = 2_000;

/**
 * Listens on a TCP port; 0 picks a free one.
 * @throws AppError PORT_IN_USE, FORBIDDEN for a privileged port, CONFIG_INVALID for an address that is not ours
 */
export async function listenTcp(server: NetServer, host: string, port: number): Promise<AddressInfo> {
  try {
    await listening(server, () => server.listen({ host, port }));
  } catch (cause) {
    const at = `${host}:${port}`;
    switch (errnoOf(cause)) {
      case "EADDRINUSE":
        throw new AppError("PORT_IN_USE", `${at} is in use by another process`, {
          hint: "choose another with --port, or --port 0 for a free one",
        });
      case "EACCES":
        throw new AppError("FORBIDDEN", `this user may not listen on ${at}`, { hint: "choose a port above 1023 with --port" });
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
      case "EAI_AGAIN":
        throw new AppError("CONFIG_INVALID", `${host} is not an address of this machine`, { hint: "use --host 127.0.0.1" });
      case undefined:
      default:
        throw new AppError("INTERNAL", `could not listen on ${at}`, { cause });
    }
  }
  const address = server.address();
  if (address === null || typeof address === "string") throw new AppError("INTERNAL", "a TCP server has no TCP address");
  return address;
}

/**
 * Listens on a Unix socket of mode 0600. A socket that nobody answers is left over from a process that died, and replaced.
 * @throws AppError STATE_LOCKED when another server answers there
 */
export async function listenUnix(server: NetServer, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new AppError("CONFIG_INVALID", `the socket path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${path}`, {
      hint: "set AGENTKERNEL_HOME to a shorter path",
    });
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await removeStale(path);
  // bind(2) makes the file under the umask, within listen() itself: at no moment may another user connect
  const umask = process.umask(0o177);
  let bound: Promise<void>;
  try {
    bound = listening(server, () => server.listen({ path }));
  } finally {
    process.umask(umask);
  }
  try {
    await bound;
  } catch (cause) {
    if (errnoOf(cause) === "EADDRINUSE") throw new AppError("STATE_LOCKED", `another server has just taken ${path}`);
    throw new AppError("STATE_UNUSABLE", `could not listen on ${path}`, { cause });
  }
  await chmod(path, 0o600);
}

function listening(server: NetServer, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      server.off("listening", onListening);
      reject(error);
    };
    const onListening = (): void => {
      server.off("error", onError);
      resolve();
    };
    server.once("error", onError).once("listening", onListening);
    listen();
  });
}

async function removeStale(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = (await lstat(path)).isSocket();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw new AppError("STATE_UNUSABLE", `could not look at ${path}`, { cause: error });
  }
  if (!isSocket) throw new AppError("STATE_UNUSABLE", `${path} exists and is not a socket`, { hint: "move it away" });
  if (await answers(path))
    throw new AppError("STATE_LOCKED", `another server answers on ${path}`, { hint: "end it with: agentkernel serve --stop" });
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    // one that accepts but is too busy to do so at once is alive
    socket.setTimeout(PROBE_MS, () => settle(true));
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });
}
