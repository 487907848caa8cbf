import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
type Handled = (typeof SIGNALS)[number];

/** A running command, as far as signals go. */
type Signalled = { readonly kill: (signal: Handled | "SIGKILL") => void };

/** ms in which the same signal is the same wish: npm passes on to its child what the terminal has sent to both */
const SAME_MS = 100;
/** ms after which a second wish means now, whatever is left behind */
const NOW_MS = 500;

/** What the command gets: each signal once, however many ways it came. */
export function forwardSignals(exec: Signalled): () => void {
  const forwarder = new Interrupts(() => undefined);
  forwarder.running(exec);
  return () => forwarder[Symbol.dispose]();
}

/**
 * What signals mean to a process that owns a sandbox. While it starts they cancel the start; while its command runs the command
 * gets them; afterwards they are heard and not followed, since the workspace is being written back and the sandbox removed. Whoever
 * asks a second time, not by the same keystroke, is obeyed at once: what is left behind then is cleared up by the next start.
 */
export class Interrupts implements Disposable {
  readonly #starting = new AbortController();
  readonly #note: (text: string) => void;
  readonly #listeners: readonly { readonly name: Handled; readonly listener: () => void }[];
  readonly #lastAt = new Map<Handled, number>();
  #phase: "starting" | "finishing" | Signalled = "starting";
  #asked: { readonly signal: Handled; readonly at: number } | undefined;

  /** @param signals that are wishes to end; a server means something else by the rest */
  constructor(note: (text: string) => void, signals: readonly Handled[] = SIGNALS) {
    this.#note = note;
    this.#listeners = signals.map((name) => ({ name, listener: (): void => this.#on(name) }));
    for (const { name, listener } of this.#listeners) process.on(name, listener);
  }

  /** aborted by a signal while it starts */
  get signal(): AbortSignal {
    return this.#starting.signal;
  }

  /** 128+n when the start was cancelled by signal n */
  get exitCode(): number | undefined {
    return this.#starting.signal.aborted && this.#asked !== undefined ? 128 + constants.signals[this.#asked.signal] : undefined;
  }

  running(exec: Signalled): void {
    // the start was further than the wish to end it
    if (this.#starting.signal.aborted) exec.kill("SIGKILL");
    this.#phase = exec;
  }

  finishing(): void {
    this.#phase = "finishing";
    this.#asked = undefined;
  }

  #on(signal: Handled): void {
    const now = performance.now();
    const isSame = now - (this.#lastAt.get(signal) ?? -SAME_MS) < SAME_MS;
    this.#lastAt.set(signal, now);
    if (isSame) return;
    if (typeof this.#phase === "object") return this.#phase.kill(signal);
    if (signal === "SIGUSR1" || signal === "SIGUSR2") return;
    if (this.#asked !== undefined) {
      if (now - this.#asked.at >= NOW_MS) this.#obey(signal);
      return;
    }
    this.#asked = { signal, at: now };
    if (this.#phase === "starting") this.#starting.abort();
    else this.#note("agentkernel: finishing first; once more to stop at once");
  }

  /** Ends as if nobody had listened. */
  #obey(signal: Handled): void {
    this[Symbol.dispose]();
    process.kill(process.pid, signal);
  }

  [Symbol.dispose](): void {
    for (const { name, listener } of this.#listeners) process.off(name, listener);
  }
}
