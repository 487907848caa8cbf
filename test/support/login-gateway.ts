import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { Renewals } from "../../src/app/secrets/renewals.ts";
import { type SandboxFiles, SecretFiles } from "../../src/app/secrets/secret-files.ts";
import type { EgressLimits, Upstream } from "../../src/egress/gateway.ts";
import { derivedRandom } from "../../src/secrets/placeholder.ts";
import { VaultKey } from "../../src/secrets/vault-key.ts";
import { type Fixture, gatewayFixture } from "./gateway/fixture.ts";

/** A gateway whose sandbox has a login of Claude Code, and what a refresh of it is. */

export const LOGIN_HOST = "platform.claude.com";
export const TOKEN_URL = `https://${LOGIN_HOST}/v1/oauth/token`;
export const JSON_TYPE = { "content-type": "application/json" };

export type LoginTokens = { readonly access: string; readonly refresh: string };
export const FIRST: LoginTokens = { access: `sk-ant-oat01-first${"A".repeat(60)}`, refresh: `sk-ant-ort01-first${"B".repeat(60)}` };
export const NEXT: LoginTokens = { access: `sk-ant-oat01-second${"C".repeat(60)}`, refresh: `sk-ant-ort01-second${"D".repeat(60)}` };
export const ANSWER = JSON.stringify({ access_token: NEXT.access, refresh_token: NEXT.refresh, expires_in: 3600 });

export const loginText = (tokens: LoginTokens, more: object = {}): string =>
  JSON.stringify({ claudeAiOauth: { accessToken: tokens.access, refreshToken: tokens.refresh, expiresAt: 1, ...more } });
/** Claude Code's */
export const CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
export const refreshOf = (token: string, more: object = {}): string =>
  JSON.stringify({ grant_type: "refresh_token", refresh_token: token, client_id: CLIENT_ID, ...more });

/** The renewals of the state directory whose journal lies in `folder`. */
export const renewalsIn = (folder: string): Renewals =>
  new Renewals({ folder, key: () => Promise.resolve(new VaultKey(Buffer.alloc(32, 7))), clock: systemClock, log: silentLog });

export type LoginGateway = AsyncDisposable & {
  readonly fixture: Fixture;
  /** the placeholder of the refresh token */
  readonly shown: string;
  readonly opened: SandboxFiles;
};

/** @param journal folder of it @param path of the login */
export async function loginGateway(at: {
  readonly journal: string;
  readonly path: string;
  readonly upstream: Upstream;
  readonly limits?: Partial<EgressLimits>;
}): Promise<LoginGateway> {
  const stack = new AsyncDisposableStack();
  const limits = at.limits === undefined ? {} : { limits: at.limits };
  const fixture = stack.use(await gatewayFixture({ allow: [LOGIN_HOST], upstreams: [at.upstream], ...limits }));
  const files = new SecretFiles({
    home: "/nowhere",
    configured: () => [],
    forbidden: [],
    renewals: renewalsIn(at.journal),
    randomFor: async () => (context) => derivedRandom(Buffer.alloc(32, 7), context),
    clock: systemClock,
    log: silentLog,
  });
  const record = { uuid: fixture.egress.uuid, secretFiles: [files.define(`claude-code:${at.path}`)] };
  const update = (opened: SandboxFiles): void =>
    fixture.attachment.update({ ...fixture.egress, secrets: opened.secrets, tokenEndpoints: opened.endpoints });
  const opened = stack.use(await files.open(record, () => update(opened)));
  update(opened);
  const shown = /"refreshToken": "([^"]+)"/.exec(opened.shown[".claude/.credentials.json"] ?? "")?.[1] ?? "";
  return { fixture, shown, opened, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
