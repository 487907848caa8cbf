import { createHmac, randomBytes } from "node:crypto";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createStandIn } from "../../src/demo/stand-in.ts";
import { testUpstream, type TestUpstream } from "./gateway/upstream.ts";

/** What the last refresh gave out. */
type Tokens = { readonly access_token: string; readonly refresh_token: string; readonly id_token: string };

export interface ChatgptLogin extends AsyncDisposable {
  readonly upstream: TestUpstream;
  /** `auth.json` as `codex login` writes it, its access token past its time */
  readonly authJson: string;
  /** every token there was, in order: those of the file, then those of each refresh */
  readonly issued: readonly Tokens[];
  /** bodies of refreshes */
  readonly refreshes: readonly string[];
  /** `Authorization` of model calls */
  readonly calls: readonly string[];
  /** method and path of everything else, in order */
  readonly asked: readonly string[];
}

type Options = {
  /** a refresh was asked for, and its tokens are not given out before this settles */
  readonly refreshing?: () => Promise<void>;
};

const HOUR_S = 3600;
const ACCOUNT = "11111111-2222-4333-8444-555555555555";

/** Where the account's workspace lies, which Codex's built-in provider asks before its first call: anywhere. */
const WORKSPACES = {
  accounts: [
    {
      id: ACCOUNT,
      name: null,
      structure: "personal",
      plan_type: "pro",
      workspace_backend_origin: "NO_CONSTRAINT",
      account_routing_override: "NO_CONSTRAINT",
    },
  ],
  account_ordering: [ACCOUNT],
  default_account_id: ACCOUNT,
};

/** A login server and a model behind it, on loopback: takes the newest access token only, and each refresh token once. */
export async function chatgptLogin({ refreshing }: Options = {}): Promise<ChatgptLogin> {
  const stack = new AsyncDisposableStack();
  const standIn = stack.use(await createStandIn({ tls: false }));
  const nowS = Math.floor(Date.now() / 1000);
  const issued: Tokens[] = [tokens(nowS - HOUR_S)];
  const refreshes: string[] = [];
  const calls: string[] = [];
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "").split("?", 1)[0];
    const current = issued.at(-1);
    if (path === "/oauth/token") {
      const body = await textOf(request);
      refreshes.push(body);
      if ((JSON.parse(body) as { refresh_token?: string }).refresh_token !== current?.refresh_token)
        return json(response, 400, { error: { code: "refresh_token_reused", message: "the refresh token was used before" } });
      await refreshing?.();
      const next = tokens(Math.floor(Date.now() / 1000) + HOUR_S);
      issued.push(next);
      return json(response, 200, { ...next, token_type: "Bearer", expires_in: HOUR_S });
    }
    if (path !== "/backend-api/codex/responses") asked.push(`${request.method ?? ""} ${path ?? ""}`);
    if (path === "/backend-api/wham/accounts/check") return json(response, 200, WORKSPACES);
    if (path !== "/backend-api/codex/responses" || request.method !== "POST")
      return json(response, 404, { error: { message: "there is nothing here" } });
    calls.push(request.headers.authorization ?? "");
    if (request.headers.authorization !== `Bearer ${current?.access_token ?? ""}`)
      return json(response, 401, { error: { code: "token_expired", message: `${request.headers.authorization ?? ""} is not valid` } });
    // the model behind the account speaks the API's own format
    const where = { host: "127.0.0.1", port: standIn.port, method: "POST", path: "/v1/responses" };
    const onward = httpRequest({ ...where, headers: request.headers }, (from) => {
      response.writeHead(from.statusCode ?? 502, from.headers);
      from.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  };
  const upstream = stack.use(
    await testUpstream((request, response) => {
      answer(request, response).catch(() => response.destroy());
    }),
  );
  const first = issued[0] ?? tokens(0);
  const authJson = JSON.stringify(
    {
      auth_mode: "chatgpt",
      OPENAI_API_KEY: null,
      tokens: { ...first, account_id: ACCOUNT },
      last_refresh: new Date((nowS - 30 * 24 * HOUR_S) * 1000).toISOString(),
    },
    null,
    2,
  );
  return { upstream, authJson, issued, refreshes, calls, asked, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function tokens(endsS: number): Tokens {
  const auth = { chatgpt_account_id: ACCOUNT, chatgpt_plan_type: "pro", chatgpt_user_id: "user-1" };
  return {
    access_token: jwt({
      iss: "https://auth.openai.com",
      exp: endsS,
      "https://api.openai.com/auth": auth,
      jti: randomBytes(8).toString("hex"),
    }),
    refresh_token: `rt_${randomBytes(48).toString("base64url")}`,
    id_token: jwt({ email: "dev@example.com", exp: endsS, "https://api.openai.com/auth": auth }),
  };
}

function jwt(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", typ: "JWT", kid: "1" })}.${part(claims)}`;
  // as long as a signature of RS256
  const signature = Buffer.concat(Array.from({ length: 8 }, (_, i) => createHmac("sha256", `key${i}`).update(signed).digest()));
  return `${signed}.${signature.toString("base64url")}`;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
