import type { Exchange, Target } from "../exchange/exchange.ts";
import type { GatewaySecret } from "../options.ts";
import type { SecretScopes } from "./secret-scope.ts";

/** A placeholder where none may stand; `finding` is the event's word for it. */
export type Misplaced = {
  readonly secret: GatewaySecret;
  readonly finding: "secret_misplaced" | "secret_out_of_scope";
  readonly reason: string;
  /** what the agent, or whoever reads its output, can do */
  readonly hint?: string;
};

/** A placeholder in what is sent behind the head. Nothing is put in there: a body could carry a value anywhere. */
export function inContent(secret: GatewaySecret, where: string): Misplaced {
  const { name, host, header, isBodyOnly } = secret;
  const use = isBodyOnly === true ? "which is for its login's refresh alone" : `which is put into the header ${header} for ${host} alone`;
  return {
    secret,
    finding: "secret_misplaced",
    reason: `the placeholder of ${name} stands in ${where}; a placeholder stands for a real value, ${use}, so nothing was sent`,
    hint: `take it out of what is sent: the text that $${name} shows inside is worth nothing. If an agent printed its environment or a file with logins into a conversation, begin a new conversation or remove that message, and do not print it again`,
  };
}

/** The subprotocol in which OpenAI's WebSocket clients of browsers carry a key. */
const KEY_PROTOCOL = "openai-insecure-api-key.";

/** Puts real values in the place of placeholders in head and query of one request, or says which of them is in the wrong place. */
export function substitute(exchange: Exchange, secrets: readonly GatewaySecret[], scopes: SecretScopes): Misplaced | undefined {
  return new Substitution(exchange, secrets, scopes).run();
}

/** A placeholder has at least 22 characters, and few names of headers have. */
const SHORTEST_NAME = 22;

class Substitution {
  readonly #exchange: Exchange;
  readonly #secrets: readonly GatewaySecret[];
  readonly #scopes: SecretScopes;
  readonly #target: Target;
  readonly #drop = new Set<number>();

  constructor(exchange: Exchange, secrets: readonly GatewaySecret[], scopes: SecretScopes) {
    if (exchange.target === undefined || exchange.origin === undefined) throw new Error("secrets run after identity and policy");
    this.#exchange = exchange;
    this.#secrets = secrets;
    this.#scopes = scopes;
    this.#target = exchange.target;
  }

  run(): Misplaced | undefined {
    const misplaced = this.#inNames() ?? this.#inUrl() ?? this.#inHeaders();
    if (misplaced !== undefined) return misplaced;
    const { headers } = this.#exchange;
    if (this.#drop.size > 0) this.#exchange.headers = headers.filter((_, i) => !this.#drop.has(i - (i % 2)));
    return undefined;
  }

  /** A placeholder may be a token of HTTP, and so a header's name or, over HTTP/2, a method. */
  #inNames(): Misplaced | undefined {
    const { headers, method } = this.#exchange;
    const names = headers.filter((name, i) => i % 2 === 0 && name.length >= SHORTEST_NAME);
    for (const secret of this.#secrets) {
      const placeholder = secret.placeholder.toLowerCase();
      if (method.toLowerCase().includes(placeholder)) return this.#inPlace(secret, "the method");
      if (names.some((name) => name.toLowerCase().includes(placeholder))) return this.#inPlace(secret, "the name of a header");
    }
    return undefined;
  }

  #inUrl(): Misplaced | undefined {
    const { path } = this.#target;
    // what was signed again holds no placeholder any more
    const query = this.#exchange.sentQuery ?? this.#target.query;
    const [decodedPath, decodedQuery] = [decodeLoosely(path), decodeLoosely(query)];
    let sent: string | undefined;
    // several bindings of one secret have one placeholder
    for (const secret of new Map(this.#secrets.map((one) => [one.placeholder, one])).values()) {
      const { placeholder } = secret;
      if (path.includes(placeholder) || decodedPath.includes(placeholder)) return this.#inPlace(secret, "the URL");
      if (!query.includes(placeholder) && !decodedQuery.includes(placeholder)) continue;
      if (this.#isAmbiguous(placeholder)) return this.#inPlace(secret, "a request that two of its bindings fit");
      const bound = this.#boundTo(placeholder);
      if (bound?.query === undefined) return this.#inPlace(secret, "the URL");
      const { text, rest } = inParameter(sent ?? query, bound);
      if (rest.includes(placeholder) || decodeLoosely(rest).includes(placeholder))
        return this.#inPlace(bound, `the URL, but not as the whole of its parameter ${bound.query}`);
      const refused = this.#refusal(bound);
      if (refused !== undefined) return refused;
      sent = text;
      this.#injected(bound);
    }
    if (sent !== undefined) this.#exchange.sentQuery = sent;
    return undefined;
  }

  #inHeaders(): Misplaced | undefined {
    const { headers } = this.#exchange;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const value = headers[i + 1] ?? "";
      const first = this.#secrets.find((secret) => find(value, secret.placeholder) !== undefined);
      if (first === undefined) continue;
      const named = this.#secrets.filter((secret) => find(value, secret.placeholder) !== undefined);
      const lower = (headers[i] ?? "").toLowerCase();
      const where = `the header ${lower.slice(0, 64)}`;
      if (named.some(({ placeholder }) => placeholder !== first.placeholder)) return this.#inPlace(first, `${where} beside another one`);
      const secret = this.#boundTo(first.placeholder);
      if (secret === undefined) {
        const hosts = named.filter(({ isBodyOnly }) => isBodyOnly !== true).map(({ host }) => host);
        const bound = hosts.length === 0 ? "it may stand in no header" : `it is bound to ${hosts.join(", ")}`;
        return this.#inPlace(first, `${where} of a request to ${this.#target.host.text}, but ${bound}`);
      }
      if (this.#isAmbiguous(first.placeholder)) return this.#inPlace(first, `${where} of a request that two of its bindings fit`);
      const replaced = this.#replace(secret, lower, value);
      if (typeof replaced !== "string") return { ...replaced, reason: replaced.reason.replace("HERE", where) };
      const refused = this.#refusal(secret);
      if (refused !== undefined) return refused;
      headers[i + 1] = replaced;
      this.#injected(secret);
      this.#dropOthers(secret, i);
    }
    return undefined;
  }

  /** The header's value as it travels. */
  #replace(secret: GatewaySecret, lower: string, value: string): string | Misplaced {
    const { placeholder } = secret;
    const real = (): string => secret.value.reveal();
    if (lower === "sec-websocket-protocol" && this.#exchange.isUpgrade && secret.scheme !== "sigv4") {
      const protocols = value.split(",").map((protocol) => protocol.trim());
      const isWhole = protocols.every((protocol) => !protocol.includes(placeholder) || protocol === `${KEY_PROTOCOL}${placeholder}`);
      if (isWhole && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(real())) return value.replace(placeholder, real);
    }
    const scheme = [secret, ...(secret.others ?? [])].find(({ header }) => header === lower)?.scheme;
    if (secret.isBodyOnly === true || scheme === undefined || scheme === "sigv4")
      return this.#inPlace(
        secret,
        scheme === "sigv4" ? "HERE, but not in a signature of AWS" : `HERE, but it is bound to ${secret.header}`,
      );
    if (!value.includes(placeholder)) return replaceBasic(value, secret);
    if (!fits(value, placeholder, scheme)) return this.#inPlace(secret, "HERE in another form than the binding's");
    return value.replace(placeholder, real);
  }

  /** The binding of this placeholder that fits the request's host. */
  #boundTo(placeholder: string): GatewaySecret | undefined {
    return this.#secrets.find((secret) => secret.placeholder === placeholder && this.#scopes.isBound(secret, this.#target.host));
  }

  #refusal(secret: GatewaySecret): Misplaced | undefined {
    const { origin, method } = this.#exchange;
    if (secret.isRevoked === true) return { secret, finding: "secret_out_of_scope", reason: `the secret ${secret.name} was taken away` };
    if (origin?.carriesKeys !== true) return this.#inPlace(secret, "a request that would carry the real value over plain HTTP");
    const reason = this.#scopes.refusal(secret, method, this.#target);
    return reason === undefined ? undefined : { secret, finding: "secret_out_of_scope", reason };
  }

  #injected(secret: GatewaySecret): void {
    this.#exchange.secretsInjected.push(secret.name);
    this.#exchange.injected.push(secret);
    this.#exchange.keySource = secret.source ?? "sandbox";
  }

  /** Every other place for a credential of this host would be another credential, and servers differ on which counts. */
  #dropOthers(secret: GatewaySecret, at: number): void {
    const { headers } = this.#exchange;
    const places = [secret, ...(secret.others ?? [])].map(({ header }) => header);
    for (let other = 0; other < headers.length; other += 2) {
      const isSubstituted = other === at || find(headers[other + 1] ?? "", secret.placeholder) !== undefined;
      if (!isSubstituted && places.includes((headers[other] ?? "").toLowerCase())) this.#drop.add(other);
    }
  }

  #inPlace(secret: GatewaySecret, where: string): Misplaced {
    const { name, host, header, isBodyOnly } = secret;
    const hint =
      isBodyOnly === true
        ? "leave it out: it is of use to the refresh of its login alone"
        : `send it in the header ${header} to ${host}, or bind it to this place too: --secret ${name}:HOST:HEADER, or the full form in [secrets]`;
    return { secret, finding: "secret_misplaced", reason: `the placeholder of ${name} stands in ${where}`, hint };
  }

  /** More than one binding of it fits this host: which of them was meant cannot be told. */
  #isAmbiguous(placeholder: string): boolean {
    return (
      this.#secrets.filter((secret) => secret.placeholder === placeholder && this.#scopes.isBound(secret, this.#target.host)).length > 1
    );
  }
}

/** The query with the value in the binding's parameter, and what is left of it when that parameter is taken away. */
function inParameter(query: string, secret: GatewaySecret): { readonly text: string; readonly rest: string } {
  const pairs = query.slice(1).split("&");
  const isPlace = pairs.map((pair) => {
    const equals = pair.indexOf("=");
    return (
      equals !== -1 && decodeLoosely(pair.slice(0, equals)) === secret.query && decodeLoosely(pair.slice(equals + 1)) === secret.placeholder
    );
  });
  const text = pairs.map((pair, i) => (isPlace[i] === true ? `${secret.query}=${encodeURIComponent(secret.value.reveal())}` : pair));
  return { text: `?${text.join("&")}`, rest: pairs.filter((_, i) => isPlace[i] !== true).join("&") };
}

/** `Bearer x` or `x` alone for a bearer binding, `x` alone for a raw one; clients write the scheme in any case. */
function fits(value: string, placeholder: string, scheme: GatewaySecret["scheme"]): boolean {
  const trimmed = value.trim();
  if (trimmed === placeholder) return true;
  const space = trimmed.indexOf(" ");
  return scheme === "bearer" && /^(?:bearer|token)$/i.test(trimmed.slice(0, space)) && trimmed.slice(space + 1).trim() === placeholder;
}

function find(value: string, placeholder: string): "plain" | "basic" | undefined {
  if (value.includes(placeholder)) return "plain";
  return /^\s*basic\s/i.test(value) && decodeBasic(value).includes(placeholder) ? "basic" : undefined;
}

function decodeBasic(value: string): string {
  return Buffer.from(value.trim().slice(6).trim(), "base64").toString("latin1");
}

function replaceBasic(value: string, secret: GatewaySecret): string {
  const credentials = decodeBasic(value).replace(secret.placeholder, () => secret.value.reveal());
  return `Basic ${Buffer.from(credentials, "latin1").toString("base64")}`;
}

function decodeLoosely(text: string): string {
  return text.includes("%") ? text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) : text;
}
