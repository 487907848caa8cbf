import type { RefreshGrant } from "../options.ts";

/** A refresh as a client sends it (RFC 6749 §6). */
export type Refresh = {
  readonly token: string;
  /** every member but grant and token; of several of one name all */
  readonly members: readonly (readonly [name: string, value: unknown])[];
  /** the body with another token, and with these members in the place of the client's */
  body(token: string, members: ReadonlyMap<string, unknown>): string;
};

const GRANT = "refresh_token";
/** What a client says who it is with, and what it asks for. */
const USUAL: readonly string[] = ["client_id", "client_secret", "scope"];
/** By these, servers hand out something else than the login (RFC 8707, RFC 9396, RFC 8693; `audience` is older than all of them). */
const OTHER_THINGS: readonly string[] = ["audience", "resource", "authorization_details", "requested_token_type"];

/** Undefined for what is no refresh. */
export function readRefresh(contentType: string | undefined, text: string): Refresh | undefined {
  return /^\s*application\/x-www-form-urlencoded\b/i.test(contentType ?? "") ? inForm(text) : inJson(text);
}

function inJson(text: string): Refresh | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    // the search that follows looks into it as bytes
    return undefined;
  }
  if (typeof root !== "object" || root === null || Array.isArray(root)) return undefined;
  // what is sent is written anew, so that of several members of one name there is only the one that was looked at
  const { grant_type: grant, refresh_token: token, ...others } = root as Readonly<Record<string, unknown>>;
  if (grant !== GRANT || typeof token !== "string") return undefined;
  return {
    token,
    members: Object.entries(others),
    body: (real, members) => JSON.stringify({ grant_type: GRANT, refresh_token: real, ...Object.fromEntries(members) }),
  };
}

function inForm(text: string): Refresh | undefined {
  const form = new URLSearchParams(text);
  const [token, ...more] = form.getAll("refresh_token");
  const grants = form.getAll("grant_type");
  if (token === undefined || more.length > 0 || grants.length !== 1 || grants[0] !== GRANT) return undefined;
  const isOther = ([name]: readonly [string, string]): boolean => name !== "grant_type" && name !== "refresh_token";
  return {
    token,
    members: [...form].filter(isOther),
    body: (real, members) => {
      const sent = [...members].map(([name, value]): [string, string] => [name, String(value)]);
      return new URLSearchParams([["grant_type", GRANT], ["refresh_token", real], ...sent]).toString();
    },
  };
}

/** How a refresh is sent; `changed`: names of members that are not as the client sent them. */
export type Permitted = { readonly members: ReadonlyMap<string, unknown>; readonly changed: readonly string[] };

/**
 * A refresh renews a login; it makes no other one of it. The login keeps its scope whatever is asked for: clients ask for what their
 * version knows (Claude Code), which may be more or less than was given, and what came of it would hold for every sandbox and this
 * machine. Members that are not known are left out, as a server has to do that does not know them either (RFC 6749 §3.2): agents
 * send more of them with every version. Refused is another client than the login's, and what asks for another thing altogether.
 */
export function permitted({ members }: Refresh, grant: RefreshGrant): Permitted | { readonly refused: string } {
  const sent = new Map<string, unknown>();
  const changed: string[] = [];
  for (const [name, value] of members) {
    const isKnown = USUAL.includes(name) || grant.parameters.includes(name);
    if (sent.has(name)) return { refused: `has more than one ${name}` };
    if (isKnown) sent.set(name, value);
    else if (OTHER_THINGS.includes(name)) return { refused: `asks for another thing than the login by ${name}` };
    else changed.push(name.slice(0, 64));
  }
  const client = sent.get("client_id");
  if (client !== undefined && grant.clientIds.length > 0 && !grant.clientIds.some((known) => known === client))
    return { refused: "is by another client than the login was made with" };
  const asked = sent.get("scope");
  if (asked !== undefined && !(typeof asked === "string" && isSameScope(asked, grant.scope))) {
    changed.push("scope");
    if (grant.scope === undefined) sent.delete("scope");
    else sent.set("scope", grant.scope);
  }
  return { members: sent, changed };
}

/** RFC 6749 §3.3: a list whose order says nothing. */
function isSameScope(one: string, other: string | undefined): boolean {
  const [left, right] = [one, other ?? ""].map((text) => [...new Set(text.split(" ").filter((part) => part !== ""))].toSorted().join(" "));
  return other !== undefined && left === right;
}
