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
};

export type Judgement = { readonly verdict: "allow" } | { readonly verdict: "deny"; readonly rule: string; readonly reason: string };

/** Decides beside the policy: what it denies stays denied, what it allows may still be denied here. */
export interface Judge {
  /** false: nobody decides, and nothing is asked */
  readonly isActive: boolean;
  /** whether somebody wants to know of every request before it is sent */
  readonly wantsRequests: boolean;
  /** never throws: what cannot be decided is denied */
  judge(request: JudgedRequest, signal: AbortSignal): Promise<Judgement>;
}
