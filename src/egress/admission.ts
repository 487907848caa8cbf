import type { Recognition, RequestFacts, ResponseFacts } from "../providers/types.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { LlmEvent } from "../schema/event.ts";

/** A model call that wants to leave, as far as its request says. */
export type CallRequest = {
  /** names the exchange in every record */
  readonly id: string;
  readonly sandbox: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly recognition: Recognition;
  readonly facts: RequestFacts;
  /** bytes of the request's body, decompressed; null: it was larger than may be held, or could not be decompressed */
  readonly bodyBytes: number | null;
  readonly kind: CallKind;
};

/** A model call that is under way. */
export type LiveCall = {
  /** names the exchange in every record */
  readonly id: string;
  readonly sandbox: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly provider: ProviderId;
  /** where the path carries it */
  readonly model: string | null;
  /** ends both sides of it at once; false: it cannot be cut yet */
  readonly cut: (reason: string) => boolean;
};
export type CallKind =
  /** an ordinary call, by request or by a message of a WebSocket */
  | "call"
  /** a whole WebSocket, of which nobody can tell beforehand what it uses */
  | "session"
  /** it only names a model that later calls are for: nothing is reserved */
  | "name"
  /** it was made without being asked for, and has ended: it counts, whatever is left */
  | "used";

/** How an admitted call ended. */
export type CallEnd =
  /** nothing left for the provider */
  | { readonly kind: "unsent" }
  | {
      readonly kind: "sent";
      /** its record, in which what was counted before counts nothing */
      readonly event: Pick<
        LlmEvent,
        "status" | "call_outcome" | "usage_source" | "cost_usd" | "response_model" | "input_tokens" | "output_tokens" | "total_tokens"
      >;
      readonly response: ResponseFacts | undefined;
      /** bytes of the answer's body that the sandbox was sent */
      readonly answerBytes: number;
    };

export type Admission =
  | { readonly verdict: "deny"; readonly rule: string; readonly reason: string; readonly hint?: string }
  /** `settle` is called once, when the call has ended, and never throws */
  | { readonly verdict: "allow"; readonly settle: (end: CallEnd) => void };

/** Decides over model calls by what they ask for: which models may be called, and what budgets leave. */
export interface CallGate {
  /** Is there anything that calls are held against? If not, their bodies need not be read before they leave. */
  readonly isActive: boolean;
  /** Told of every call, admitted or not; what it gives is called once, when the call is over. */
  begin(call: LiveCall): () => void;
  /** Synchronous, so that nothing comes between the decision and the reservation. A throw denies. */
  admit(call: CallRequest): Admission;
}
