import type { BackendSandbox } from "../../../src/sandbox/backend.ts";
import { bubblewrapHarness } from "../bubblewrap-harness.ts";
import { runIn } from "../run-in.ts";
import type { Fixture } from "./fixture.ts";

/** Bytes for a connection as hostile code makes it: what follows is nobody's library. */
export type Attempt = {
  /** name or address that is connected to */
  readonly to: string;
  readonly port?: number;
  /** the ClientHello's name; null: none; absent: no TLS */
  readonly sni?: string | null;
  /** one character for one byte */
  readonly bytes: string;
};

/** What came back until the other side closed, or nothing came for a while; `error …` where no connection stood. */
export type Reply = string;

/** A real sandbox whose way out is a fixture's gateway: namespaces, addresses, name server and listeners are those of users. */
export interface Inside extends AsyncDisposable {
  readonly sandbox: BackendSandbox;
  send(attempts: readonly Attempt[]): Promise<readonly Reply[]>;
}

const CA = "/etc/gateway-ca.pem";
const CLIENT = `
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
def attempt(a):
    try:
        s = socket.create_connection((a["to"], a.get("port", 443 if "sni" in a else 80)), timeout=5)
        if "sni" in a:
            c = ssl.create_default_context(cafile="${CA}"); c.check_hostname = False
            if a["sni"] is None: c.verify_mode = ssl.CERT_NONE
            s = c.wrap_socket(s, server_hostname=a["sni"])
        s.sendall(a["bytes"].encode("latin1"))
    except (OSError, UnicodeError, ValueError) as e: return "error %s" % type(e).__name__
    got = b""
    try:
        while len(got) < 65536:
            part = s.recv(65536)
            if not part: break
            got += part
    except OSError: pass
    return got.decode("latin1")
with ThreadPoolExecutor(16) as pool: print(json.dumps(list(pool.map(attempt, json.load(sys.stdin)))))
`;

export async function insideSandbox(fixture: Fixture): Promise<Inside> {
  const stack = new AsyncDisposableStack();
  const harness = stack.use(await bubblewrapHarness());
  const sandbox = await harness.create({
    files: { [CA]: fixture.gateway.authorityPem },
    network: {
      kind: "gateway",
      ports: [53, 80, 443],
      attach: async (listeners) => void stack.use(fixture.gateway.attach(fixture.egress, listeners)),
    },
  });
  return {
    sandbox,
    send: async (attempts) => {
      const { stdout, stderr } = await runIn(sandbox, ["/usr/bin/python3", "-c", CLIENT], {
        input: JSON.stringify(attempts),
        timeoutMs: 60_000,
      });
      if (stderr !== "") throw new Error(stderr);
      return JSON.parse(stdout) as readonly Reply[];
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The status of each reply; `none` where nothing was answered. */
export function statusesOf(replies: readonly Reply[]): readonly string[] {
  return replies.map((reply) => /^HTTP\/1\.1 (\d{3}) /.exec(reply)?.[1] ?? (reply.startsWith("error") ? reply : "none"));
}

/** A request that ends its connection. */
export function get(host: string, path = "/", more = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`;
}
