import type { Duplex } from "node:stream";
import { AppError } from "../base/error.ts";
import type { BackendExec, BackendSandbox, EndReason, EnforcedBy, ExecRequest } from "./backend.ts";
import type { LimitName } from "./record.ts";

/** What the gateway side of a sandbox needs to be told at its end. */
export interface EgressLink extends AsyncDisposable {
  /** resolves when exchanges in flight have been reported, at the latest after `deadlineMs` */
  drain(deadlineMs: number): Promise<void>;
}

/** ms that exchanges in flight get to be reported when their sandbox ends */
const DRAIN_MS = 500;

/**
 * A running sandbox: the backend's part and its way out, ended together, once, for the first reason that came. Backends stay
 * naive; that an end is final, waited for and cleaned up after is seen to here.
 */
export class LiveSandbox implements AsyncDisposable {
  readonly #backend: BackendSandbox;
  readonly #link: EgressLink | undefined;
  #stopping: Promise<void> | undefined;
  #reason: EndReason | undefined;
  /** settles once, after everything of it is gone */
  readonly ended: Promise<EndReason>;
  readonly limits: Readonly<Record<LimitName, EnforcedBy>>;

  constructor(backend: BackendSandbox, link: EgressLink | undefined) {
    this.#backend = backend;
    this.#link = link;
    this.limits = backend.limits;
    this.ended = backend.ended.then(async (reason) => {
      this.#reason ??= reason;
      await this.#cleanUp();
      return this.#reason;
    });
  }

  exec(request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<BackendExec> {
    if (this.#reason !== undefined) throw new AppError("SANDBOX_ENDED", `the sandbox has ended: ${this.#reason.message}`);
    return this.#backend.exec(request, options);
  }

  dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex> {
    return this.#backend.dial(port, options);
  }

  /** Ends it and waits until nothing of it is left. The first reason wins. */
  async stop(reason: EndReason): Promise<void> {
    this.#reason ??= reason;
    this.#stopping ??= this.#backend.stop(this.#reason);
    await this.#stopping;
    await this.ended;
  }

  async #cleanUp(): Promise<void> {
    await this.#link?.drain(DRAIN_MS);
    await this.#link?.[Symbol.asyncDispose]();
    await this.#backend[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ kind: "stopped", message: "agentkernel ended" });
  }
}
