import type { SecretFileSettings } from "../../schema/settings.ts";
import { CODE_ASSIST_PATHS } from "../default-scope.ts";

/** A token of a secret file and where it may go; without hosts it leaves in the body of a refresh alone. One token may have several. */
export type FileToken = {
  /** JSON pointer (RFC 6901) */
  readonly at: string;
  readonly hosts?: readonly string[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
};

/** How a client renews its tokens: a POST whose body carries the refresh token (RFC 6749 §6), answered with new ones. */
export type FileRefresh = {
  /** https, without a query */
  readonly url: string;
  /** member of the answer = pointer of the token that it replaces */
  readonly tokens: Readonly<Record<string, string>>;
  /** pointer of the ms since 1970 at which the access token ends, made from the answer's `expires_in` */
  readonly expiresAt?: string;
  /** pointer of the time of the last refresh, RFC 3339 */
  readonly refreshedAt?: string;
  /** pointer of what the access token is good for: a list, or one text with spaces */
  readonly scopes?: string;
  /** clients that logins of this kind are made with; absent: those that the file's own JWTs name, else any */
  readonly clientIds?: readonly string[];
  /** pointer of the client that this login was made with */
  readonly clientId?: string;
  /** names of members that a refresh may carry beside client and scope; others are left out */
  readonly parameters?: readonly string[];
};

/** A file with logins that a sandbox sees with placeholders in the place of its tokens. Holds no value. */
export type SecretFileDefinition = {
  readonly name: string;
  /** on the host, absolute */
  readonly path: string;
  /** inside, below the home directory: `.codex/auth.json` */
  readonly inside: string;
  readonly tokens: readonly FileToken[];
  /** pointers of strings that look like tokens, and are none */
  readonly keep: readonly string[];
  readonly refresh?: FileRefresh;
};

type Known = Omit<SecretFileDefinition, "name" | "path"> & {
  /** below the home directory of whoever runs us */
  readonly path: string;
};

/** Models, and what Codex asks about the account before it calls one; not its plugins, which reach what the account is connected to. */
const CHATGPT_PATHS = [
  "/backend-api/codex/**",
  "/backend-api/wham/accounts/check",
  "/backend-api/wham/settings/user",
  "/backend-api/wham/usage",
];

/** What the agents' own logins look like. */
const KNOWN: Readonly<Record<string, Known>> = {
  // ChatGPT login of Codex: `codex login`
  codex: {
    path: ".codex/auth.json",
    inside: ".codex/auth.json",
    tokens: [
      {
        at: "/tokens/access_token",
        hosts: ["chatgpt.com"],
        paths: CHATGPT_PATHS,
        methods: ["GET", "POST"],
      },
      { at: "/tokens/refresh_token" },
      { at: "/tokens/id_token" },
      { at: "/OPENAI_API_KEY", hosts: ["api.openai.com"] },
    ],
    keep: ["/tokens/account_id", "/auth_mode"],
    refresh: {
      url: "https://auth.openai.com/oauth/token",
      tokens: { access_token: "/tokens/access_token", refresh_token: "/tokens/refresh_token", id_token: "/tokens/id_token" },
      refreshedAt: "/last_refresh",
      clientIds: ["app_EMoamEEZ73f0CkXaXp7hrann"],
      parameters: ["refresh_reason"],
    },
  },
  // `claude /login` on a machine without a key chain
  "claude-code": {
    path: ".claude/.credentials.json",
    inside: ".claude/.credentials.json",
    tokens: [{ at: "/claudeAiOauth/accessToken", hosts: ["api.anthropic.com"] }, { at: "/claudeAiOauth/refreshToken" }],
    keep: ["/claudeAiOauth/subscriptionType", "/claudeAiOauth/rateLimitTier"],
    refresh: {
      url: "https://platform.claude.com/v1/oauth/token",
      tokens: { access_token: "/claudeAiOauth/accessToken", refresh_token: "/claudeAiOauth/refreshToken" },
      expiresAt: "/claudeAiOauth/expiresAt",
      scopes: "/claudeAiOauth/scopes",
      clientIds: ["9d1c250a-e61b-44d9-88ed-5944d1962f5e"],
      clientId: "/claudeAiOauth/clientId",
    },
  },
  // "Sign in with Google" of Gemini CLI
  gemini: {
    path: ".gemini/oauth_creds.json",
    inside: ".gemini/oauth_creds.json",
    tokens: [
      // it is good for all of Google Cloud
      { at: "/access_token", hosts: ["cloudcode-pa.googleapis.com"], methods: ["GET", "POST"], paths: CODE_ASSIST_PATHS },
      // whether it is still good, and whose it is
      { at: "/access_token", hosts: ["oauth2.googleapis.com"], methods: ["POST"], paths: ["/tokeninfo"] },
      { at: "/access_token", hosts: ["www.googleapis.com"], methods: ["GET"], paths: ["/oauth2/v2/userinfo"] },
      { at: "/refresh_token" },
      { at: "/id_token" },
    ],
    keep: [],
    refresh: {
      url: "https://oauth2.googleapis.com/token",
      tokens: { access_token: "/access_token", refresh_token: "/refresh_token", id_token: "/id_token" },
      expiresAt: "/expiry_date",
      scopes: "/scope",
      clientIds: ["681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com"],
    },
  },
};

export const KNOWN_SECRET_FILES: readonly string[] = Object.keys(KNOWN);

/** A file by its name: the configuration's, filled in from what is known of that name; undefined when there is none. */
export function defineSecretFile(name: string, settings: SecretFileSettings | undefined, home: string): SecretFileDefinition | undefined {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
  const path = settings?.path ?? (known === undefined ? undefined : `${home}/${known.path}`);
  const inside = settings?.inside ?? known?.inside;
  const tokens = settings?.tokens ?? known?.tokens;
  if (path === undefined || inside === undefined || tokens === undefined) return undefined;
  const refresh = settings?.refresh ?? known?.refresh;
  return { name, path, inside, tokens, keep: settings?.keep ?? known?.keep ?? [], ...(refresh === undefined ? {} : { refresh }) };
}
