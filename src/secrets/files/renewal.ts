import { readCredentials, refreshedCredentials } from "./credentials.ts";
import type { FileRefresh, SecretFileDefinition } from "../../schema/secret-file-definition.ts";

/** Values by pointer. */
export type TokensAt = Readonly<Record<string, string>>;

/** What refreshes of one file brought, until the file holds it. */
export type Renewal = {
  readonly definition: SecretFileDefinition;
  /** what refreshes could change, as the file held it before each of them; oldest first */
  readonly spent: readonly TokensAt[];
  readonly tokens: TokensAt;
  /** the answer's `expires_in`, in seconds */
  readonly expiresIn?: number;
  /** when the last answer came, ms since 1970 */
  readonly atMs: number;
};

/** refreshes that one file may be behind; older ones are no longer in any file */
const MAX_SPENT = 16;

/** What a refresh changes, as it stands now. */
export function renewable({ tokens }: FileRefresh, valueAt: (pointer: string) => string | undefined): TokensAt {
  return Object.fromEntries(
    Object.values(tokens).flatMap((at): [string, string][] => {
      const value = valueAt(at);
      return value === undefined ? [] : [[at, value]];
    }),
  );
}

export function isSame(one: TokensAt, other: TokensAt): boolean {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].every((at) => one[at] === other[at]);
}

/** A renewal on top of one that the file does not hold yet. */
export function onTopOf(before: Renewal | undefined, renewal: Renewal): Renewal {
  if (before === undefined) return renewal;
  return {
    ...renewal,
    spent: [...before.spent, ...renewal.spent].slice(-MAX_SPENT),
    tokens: { ...before.tokens, ...renewal.tokens },
  };
}

/**
 * The file with a renewal in it; undefined when it holds no longer what was spent: somebody on this machine logged in, out or renewed,
 * or it holds the renewal already.
 * @throws VALIDATION for what is no file of this kind
 */
export function renewedText(text: string, { definition, spent, tokens, expiresIn, atMs }: Renewal): string | undefined {
  const held = readCredentials(text, definition).tokens;
  if (!spent.some((before) => isSpent(held, before, tokens, definition.refresh))) return undefined;
  const answer = expiresIn === undefined ? {} : { expires_in: expiresIn };
  return refreshedCredentials(text, definition, new Map(Object.entries(tokens)), answer, atMs);
}

/** A refresh token that another came for is worth nothing, whatever stands beside it; one that stays says nothing, so all must fit. */
function isSpent(held: ReadonlyMap<string, string>, before: TokensAt, after: TokensAt, refresh: FileRefresh | undefined): boolean {
  const at = refresh?.tokens["refresh_token"];
  if (at !== undefined && before[at] !== undefined && after[at] !== undefined && after[at] !== before[at])
    return held.get(at) === before[at];
  return isSame(
    before,
    renewable(refresh ?? { url: "", tokens: {} }, (pointer) => held.get(pointer)),
  );
}
