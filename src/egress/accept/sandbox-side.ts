import type { Decision } from "../../policy/decision.ts";
import type { EgressReporter } from "../options.ts";
import type { Holdings } from "../exchange/holdings.ts";
import type { Resolve } from "../upstream/resolve.ts";
import type { Generation } from "./generation.ts";

export type DecisionRecord = Parameters<EgressReporter["decision"]>[0];

export type DecisionFacts = Partial<Pick<DecisionRecord, "host" | "port" | "address" | "bytes_in" | "bytes_out" | "duration_ms">>;

/** The sandbox behind a connection, as everything that serves the connection sees it. */
export interface SandboxSide {
  /** the current one; an exchange keeps the one it began with */
  readonly generation: Generation;
  /** reports a decision that no exchange carries */
  decided(protocol: DecisionRecord["protocol"], verdict: Decision["verdict"], rule: string, reason: string, facts?: DecisionFacts): void;
  /** as many exchanges run as one sandbox may have */
  readonly isFull: boolean;
  /** what its exchanges hold together */
  readonly holdings: Holdings;
  /** resolves names for this sandbox, a few at a time */
  readonly resolve: Resolve;
  /** may another certificate be made for this sandbox now? Names cost the sandbox nothing and us a signature each. */
  mayMint(): boolean;
  /** counts work as running until its promise settles */
  track(work: Promise<void>): void;
  /** the sandbox's end waits for it, as it does not for other exchanges: it has a deadline of its own */
  completing(work: Promise<void>): void;
}
