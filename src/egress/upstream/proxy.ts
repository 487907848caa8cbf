import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { AppError, errnoOf } from "../../base/error.ts";
import type { UpstreamProxy } from "../options.ts";

/** A proxy that answers with more than this has not understood the question. */
const MAX_HEAD = 16 * 1024;

/**
 * A connection to a judged address through the network's own proxy (RFC 9110 §9.3.6). The address is what the proxy is asked for, not
 * the name: a second resolution over there would be what DNS rebinding needs.
 *
 * @param target `address:port`, IPv6 in brackets
 * @throws AppError UPSTREAM_ERROR, TIMEOUT
 */
export async function connectThrough(proxy: UpstreamProxy, target: string, timeoutMs: number): Promise<Socket> {
  const { url } = proxy;
  const secure = url.protocol === "https:";
  const place = { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? (secure ? 443 : 80) : Number(url.port) };
  const socket = secure
    ? // without a name the certificate is held against the address
      connectTls({
        ...place,
        ...(isIP(place.host) === 0 ? { servername: place.host } : {}),
        ...(proxy.ca === undefined ? {} : { ca: proxy.ca }),
        ALPNProtocols: ["http/1.1"],
      })
    : connectTcp(place);
  const timer = setTimeout(
    () => socket.destroy(new AppError("TIMEOUT", `the proxy ${url.host} did not answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    return await new Promise<Socket>((resolve, reject) => {
      let head = Buffer.alloc(0);
      const fail = (error: Error): void => {
        socket.destroy();
        reject(error);
      };
      const onClose = (): void => fail(new AppError("UPSTREAM_ERROR", `the proxy ${url.host} closed the connection`));
      const onReadable = (): void => {
        for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null)
          head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end === -1) {
          if (head.length > MAX_HEAD) fail(new AppError("UPSTREAM_ERROR", `the answer of the proxy ${url.host} has no end`));
          return;
        }
        const status = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/.exec(head.subarray(0, 64).toString("latin1"))?.[1];
        if (status === undefined || !status.startsWith("2")) {
          // its text may hold what it was sent
          fail(new AppError("UPSTREAM_ERROR", `the proxy ${url.host} refused the connection to ${target} (${status ?? "no HTTP"})`));
          return;
        }
        socket.off("readable", onReadable).off("close", onClose).off("error", fail);
        const rest = head.subarray(end + 4);
        if (rest.length > 0) socket.unshift(rest);
        resolve(socket);
      };
      socket.once("error", fail).once("close", onClose).on("readable", onReadable);
      socket.once(secure ? "secureConnect" : "connect", () => {
        const credentials = proxy.credentials?.reveal();
        const authorization =
          credentials === undefined ? "" : `Proxy-Authorization: Basic ${Buffer.from(credentials).toString("base64")}\r\n`;
        socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`);
      });
    });
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("UPSTREAM_ERROR", `the proxy ${url.host} could not be reached`, {
      cause: error,
      details: { errno: errnoOf(error) ?? "unknown" },
    });
  } finally {
    clearTimeout(timer);
  }
}
