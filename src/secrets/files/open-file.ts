import { Secret } from "../../base/secret.ts";
import type { AuthHeader } from "../../schema/secret-scheme.ts";
import { defaultAuthHeader } from "../auth-header.ts";
import type { RandomSource } from "../placeholder.ts";
import type { Credentials } from "./credentials.ts";
import { shownCredentials } from "./credentials.ts";
import type { FileToken, SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import { claimsOf, maskToken } from "./mask.ts";

/** A token as the gateway needs it: like a secret of a variable, with the file that it belongs to. */
export type FileSecret = AuthHeader & {
  readonly name: string;
  readonly placeholder: string;
  readonly value: Secret;
  readonly host: string;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly file: string;
  /** it may stand in no header: in the body of a refresh alone, or nowhere */
  readonly isBodyOnly?: true;
};

/** placeholders that one token may have at a time: of JWTs, whose claims change with every refresh, older copies are still in use */
const MAX_PLACEHOLDERS = 4;

type Token = { value: string; placeholders: readonly string[] };

/** No host has this name (RFC 6761 §6.4). */
const NOWHERE = "nowhere.invalid";

/** A secret file as one sandbox has it: which placeholder stands for which token, now and since the sandbox started. */
export class OpenSecretFile {
  readonly definition: SecretFileDefinition;
  readonly #tokens = new Map<string, Token>();
  readonly #randomFor: (pointer: string) => RandomSource;

  /** @param randomFor the same for the same pointer, so that a sandbox finds its placeholders again */
  constructor(definition: SecretFileDefinition, randomFor: (pointer: string) => RandomSource) {
    this.definition = definition;
    this.#randomFor = randomFor;
  }

  /** Takes over what the file holds now; true when something changed. Placeholders that are in use stay. */
  take({ tokens, unknown }: Pick<Credentials, "tokens" | "unknown">): boolean {
    let isChanged = false;
    for (const [at, value] of [...tokens, ...unknown]) {
      const token = this.#tokens.get(at);
      if (token?.value === value) continue;
      isChanged = true;
      this.#tokens.set(at, { value, placeholders: this.#placeholders(at, value, token) });
    }
    return isChanged;
  }

  /** The token at a pointer; undefined when there is none. */
  valueAt(pointer: string): string | undefined {
    return this.#tokens.get(pointer)?.value;
  }

  /** What stands for the token at a pointer; undefined when there is none. */
  placeholderAt(pointer: string): string | undefined {
    return this.#tokens.get(pointer)?.placeholders.at(-1);
  }

  /** The file's text for the inside. */
  shown(credentials: Credentials): string {
    return shownCredentials(credentials, (pointer) => this.placeholderAt(pointer));
  }

  /** One for every host and placeholder of every token. */
  get secrets(): readonly FileSecret[] {
    const { name: file, tokens } = this.definition;
    return [...this.#tokens].flatMap(([at, { value, placeholders }]) => {
      const places = placesOf(tokens.filter((token) => token.at === at));
      const secret = new Secret(value);
      return placeholders.flatMap((placeholder) =>
        places.map((place): FileSecret => ({ name: `${file}${at}`, placeholder, value: secret, file, ...place })),
      );
    });
  }

  #placeholders(at: string, value: string, before: Token | undefined): readonly string[] {
    const kept = before?.placeholders ?? [];
    // what has no claims in it says nothing that could change
    if (before !== undefined && claimsOf(value) === undefined && claimsOf(before.value) === undefined) return kept;
    const taken = [...this.#tokens.values()].flatMap(({ placeholders }) => placeholders).filter((other) => !kept.includes(other));
    const next = maskToken(value, taken, this.#randomFor(at));
    return [...kept.filter((placeholder) => placeholder !== next), next].slice(-MAX_PLACEHOLDERS);
  }
}

type Place = Omit<FileSecret, "name" | "placeholder" | "value" | "file">;

function placesOf(uses: readonly FileToken[]): readonly Place[] {
  const places = uses.flatMap(placesOfUse);
  return places.length > 0 ? places : [{ host: NOWHERE, header: "authorization", scheme: "bearer", isBodyOnly: true }];
}

function placesOfUse({ at, hosts = [], methods, paths }: FileToken): readonly Place[] {
  return hosts.map((host) => ({
    host,
    // OAuth's tokens are bearer tokens; keys go where the host's keys go
    ...(at.endsWith("_KEY") ? defaultAuthHeader("", host) : ({ header: "authorization", scheme: "bearer" } as const)),
    ...(methods === undefined ? {} : { methods }),
    ...(paths === undefined ? {} : { paths }),
  }));
}
