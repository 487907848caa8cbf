export type LogFields = Readonly<Record<string, unknown>>;

/** What operators read today; may be lost. Never put a secret or a whole body into it. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** a log whose lines all carry these fields */
  child(fields: LogFields): Log;
}

/** For tests and libraries that were given no log. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
