import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createStandIn, type StandIn } from "../../src/demo/stand-in.ts";
import { testUpstream, type TestUpstream } from "./gateway/upstream.ts";

export const GOOGLE_HOSTS = ["cloudcode-pa.googleapis.com", "oauth2.googleapis.com", "www.googleapis.com"];
/** Gemini CLI's */
export const GOOGLE_CLIENT = "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com";
export const GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email openid";

export interface GoogleLogin extends AsyncDisposable {
  readonly upstream: TestUpstream;
  /** `oauth_creds.json` as Gemini CLI writes it, its access token past its time */
  readonly credsJson: string;
  /** of the file, then of each refresh */
  readonly access: readonly string[];
  readonly refreshToken: string;
  /** bodies of refreshes, forms */
  readonly refreshes: readonly string[];
  /** figures that the model reported */
  readonly sent: StandIn["sent"];
  /** method, path and `Authorization` of everything else, in order */
  readonly asked: readonly string[];
}

const HOUR_S = 3600;

/** Google's login and Code Assist with a model behind it, on loopback: takes the newest access token only. */
export async function googleLogin(): Promise<GoogleLogin> {
  const stack = new AsyncDisposableStack();
  const standIn = stack.use(await createStandIn({ tls: false }));
  const access = [accessToken("first")];
  const refreshToken = `1//0refresh${"R".repeat(80)}`;
  const refreshes: string[] = [];
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const body = await textOf(request);
    if (path === "/token") {
      refreshes.push(body);
      if (new URLSearchParams(body).get("refresh_token") !== refreshToken) return json(response, 400, { error: "invalid_grant" });
      access.push(accessToken(`number-${access.length}`));
      // the refresh token stays
      const granted = { access_token: access.at(-1), id_token: idToken(access.length), expires_in: HOUR_S, scope: GOOGLE_SCOPE };
      return json(response, 200, { ...granted, token_type: "Bearer" });
    }
    asked.push(`${request.method ?? ""} ${path} ${request.headers.authorization ?? ""}`);
    if (request.headers.authorization !== `Bearer ${access.at(-1) ?? ""}`)
      return json(response, 401, { error: { code: 401, message: `${request.headers.authorization ?? ""} is not valid` } });
    if (path === "/tokeninfo") return json(response, 200, { aud: GOOGLE_CLIENT, expires_in: HOUR_S, scope: GOOGLE_SCOPE });
    if (path === "/oauth2/v2/userinfo") return json(response, 200, { id: "1", email: "dev@example.com" });
    if (path === "/v1internal:loadCodeAssist")
      return json(response, 200, { currentTier: { id: "standard-tier", name: "x" }, cloudaicompanionProject: "project-1" });
    const method = /^\/v1internal:(streamGenerateContent|generateContent)$/.exec(path)?.[1];
    if (method === undefined) return json(response, 200, {});
    // Code Assist puts the model's own request and answer into an envelope
    const { model = "", request: inner } = JSON.parse(body) as { readonly model?: string; readonly request?: object };
    const text = await asking(standIn.port, `/v1beta/models/${model}:${method}?alt=sse`, JSON.stringify(inner));
    const isStream = method === "streamGenerateContent";
    const wrapped = isStream ? text.replace(/^data: (.*)$/gm, (_, data: string) => `data: {"response":${data}}`) : `{"response":${text}}`;
    response.writeHead(200, { "content-type": isStream ? "text/event-stream" : "application/json" }).end(wrapped);
  };
  const upstream = stack.use(
    await testUpstream((request, response) => {
      answer(request, response).catch(() => response.destroy());
    }),
  );
  const tokens = { access_token: access[0], refresh_token: refreshToken, scope: GOOGLE_SCOPE, token_type: "Bearer", id_token: idToken(0) };
  const credsJson = JSON.stringify({ ...tokens, expiry_date: Date.now() - HOUR_S * 1000 }, null, 2);
  return {
    upstream,
    credsJson,
    access,
    refreshToken,
    refreshes,
    sent: standIn.sent,
    asked,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const accessToken = (name: string): string => `ya29.${name}-${"A".repeat(180)}`;

function idToken(count: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "https://accounts.google.com", azp: GOOGLE_CLIENT, aud: GOOGLE_CLIENT, email: "dev@example.com", count };
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${`id${count}`.padEnd(342, "S")}`;
}

function asking(port: number, path: string, body: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { "content-type": "application/json", "x-goog-api-key": "any", host: "generativelanguage.googleapis.com" };
  const request = httpRequest({ host: "127.0.0.1", port, method: "POST", path, headers }, (response) => {
    textOf(response).then(resolve, reject);
  });
  request.on("error", reject);
  request.end(body);
  return promise;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
