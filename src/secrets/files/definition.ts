import type { SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import type { SecretFileSettings } from "../../schema/settings.ts";
import { CODE_ASSIST_PATHS } from "../default-scope.ts";

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
