/** The program's side of `child.ts`. */

type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

export function parameters<T>(): T {
  return JSON.parse(process.argv[2] ?? "null") as T;
}

/** Says that the program is ready, then answers until the parent goes; `end` runs first then. */
export function serve(ready: unknown, handlers: Handlers, end: () => Promise<void> = () => Promise.resolve()): void {
  process.on("message", (message: { readonly id: number; readonly question: string; readonly argument: never }) => {
    void answer(handlers, message);
  });
  process.once("disconnect", () => {
    void end().finally(() => process.exit(0));
  });
  process.send?.({ ready });
}

async function answer(handlers: Handlers, { id, question, argument }: { id: number; question: string; argument: never }): Promise<void> {
  try {
    const handler = handlers[question];
    if (handler === undefined) throw new Error(`nobody answers ${question}`);
    process.send?.({ id, reply: await handler(argument) });
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
