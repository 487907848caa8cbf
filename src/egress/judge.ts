import type { ShownBody } from "../schema/event.ts";
import type { HeaderList } from "./exchange/header-list.ts";

/** A request that policy allows and that has not been sent, as it may be shown to others: credentials replaced. */
export type JudgedRequest = {
  readonly id: string;
  readonly sandbox: string;
  readonly sandboxUuid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly headers: HeaderList;
  readonly provider: string | undefined;
  /** its beginning, when somebody asked for it */
  readonly body?: ShownBody;
  /** the client did not send so much of the body in time: `body` is what there was */
  readonly isBodyLate?: true;
};

/** Bytes of bodies that somebody wants to see of an exchange, at most; 0: none. */
export type WantedBodies = {
  /** of the request, before it is sent: it is held until so much is there, it ends, or the time for it is over */
  readonly before: number;
  /** of the request, in the exchange's events */
  readonly request: number;
  /** of the response, in the exchange's event */
  readonly response: number;
};

export type Judgement = { readonly verdict: "allow" } | { readonly verdict: "deny"; readonly rule: string; readonly reason: string };

/** Decides beside the policy: what it denies stays denied, what it allows may still be denied here. */
export interface Judge {
  /** false: nobody decides, and nothing is asked */
  readonly isActive: boolean;
  /** whether somebody wants to know of every request before it is sent */
  readonly wantsRequests: boolean;
  /** false: no body is asked for, of whatever exchange */
  readonly wantsBodies: boolean;
  bodiesFor(request: JudgedRequest): WantedBodies;
  /** text of a body without what looks like a secret */
  maskText(text: string): string;
  /** never throws: what cannot be decided is denied */
  judge(request: JudgedRequest, signal: AbortSignal): Promise<Judgement>;
}
