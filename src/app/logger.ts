import pino, { type Logger } from "pino";
import type { Log, LogFields } from "../base/log.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** The operator's log, JSON lines on stderr. */
export function createLogger(level: LogLevel): Log {
  return wrap(
    pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true })),
  );
}

function wrap(logger: Logger): Log {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (message: string, fields?: LogFields): void =>
      logger[level](fields ?? {}, message);
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(logger.child(fields)),
  };
}
