import type { Recognition, RecognizeRequest } from "./types.ts";

/** Built-in hosts, the operator's custom domains and own providers, ready to look up. */
export interface ProviderTable {
  recognize(request: RecognizeRequest): Recognition | undefined;
}
