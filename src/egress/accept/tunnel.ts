import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES, type Decision } from "../../policy/decision.ts";
import type { Runtime } from "../runtime.ts";
import { AddressDenied, dial } from "../upstream/dial.ts";
import { join } from "../upstream/tunnel.ts";
import type { Connection } from "./connection.ts";
import { review } from "./review.ts";

/** Passes a TLS connection unopened, because a rule says so: no secrets, no metering, but judged addresses and a record. */
export function tunnel(runtime: Runtime, connection: Connection, decision: Decision): void {
  connection.attachment.track(run(runtime, connection, decision));
}

async function run(runtime: Runtime, connection: Connection, decision: Decision): Promise<void> {
  const { socket, destination, expected, attachment } = connection;
  const { generation } = attachment;
  const startedAt = runtime.clock.monotonic();
  // the handshake is the peers' own affair; from here the idle limit counts
  connection.deadlineAt = 0;
  connection.isTunnel = true;
  const facts = { host: expected.text, port: destination.port };
  try {
    const origin = runtime.origins.find(generation, expected, destination.port, "https");
    const dialled = await dial(origin, {
      policy: generation.egress.policy,
      resolve: attachment.resolve,
      connectTimeoutMs: runtime.limits.connectTimeoutMs,
      tls: "tunnel",
      proxy: runtime.upstreamProxy,
    });
    connection.route = { origin, address: dialled.address };
    // the policy may have changed while it was being dialled
    if (attachment.generation !== generation) review(runtime, attachment.generation, connection);
    await join(socket, dialled.socket);
    attachment.decided("tunnel", "allow", decision.rule, decision.reason, {
      ...facts,
      address: dialled.address,
      bytes_out: dialled.socket.bytesWritten,
      bytes_in: dialled.socket.bytesRead,
      duration_ms: runtime.clock.monotonic() - startedAt,
    });
  } catch (error) {
    const denied = error instanceof AddressDenied ? error.decision : { rule: BUILT_IN_RULES.error, reason: messageOf(error) };
    attachment.decided("tunnel", "deny", denied.rule, denied.reason, facts);
    connection.destroy();
  }
}
