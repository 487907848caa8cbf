import { join } from "node:path";
import { AppError } from "../base/error.ts";
import { absoluteVariable, homeOf, type HostEnvironment } from "./env.ts";

/** Where everything of one user of one machine lies. Absolute paths; `prepareState` makes the folders. */
export type StatePaths = {
  /** root of the state */
  readonly state: string;
  /** SQLite */
  readonly database: string;
  /** sockets, locks, logs of the server in the background; private */
  readonly run: string;
  readonly socket: string;
  readonly serveLock: string;
  readonly serveLog: string;
  /** the certificate authority's key and certificate; private */
  readonly authority: string;
  /** the event log; private */
  readonly events: string;
  /** what streams and hooks have had; private */
  readonly delivery: string;
  /** one lock for each sink: who holds it delivers to it */
  readonly deliveryLocks: string;
  /** renewals of files with logins that the files do not hold yet, sealed; private */
  readonly logins: string;
  /** key of the vault; its folder is private */
  readonly vaultKey: string;
  /** one folder for each sandbox; searchable by their uids when we are root */
  readonly sandboxes: string;
  /** programs staged for the inside; searchable as well */
  readonly staged: string;
  /** folder of the configuration */
  readonly config: string;
  /** Ed25519 key that signs checkpoints; apart from the state, so that whoever can write one cannot forge the other */
  readonly auditKey: string;
};

/** sun_path of Linux is 108 bytes with the NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * State: `AGENTKERNEL_HOME`, else `$XDG_DATA_HOME/agentkernel`, else /var/lib/agentkernel for root, else ~/.local/share/agentkernel.
 * Configuration: `$XDG_CONFIG_HOME/agentkernel`, else /etc/agentkernel for root, else ~/.config/agentkernel.
 *
 * @throws CONFIG_INVALID for a relative path in a variable and for a socket path that the kernel cannot take
 */
export function statePaths(env: HostEnvironment, uid: number): StatePaths {
  const xdgData = absoluteVariable(env, "XDG_DATA_HOME");
  const state =
    absoluteVariable(env, "AGENTKERNEL_HOME") ??
    (xdgData === undefined ? undefined : join(xdgData, "agentkernel")) ??
    (uid === 0 ? "/var/lib/agentkernel" : join(homeOf(env), ".local/share/agentkernel"));
  const run = join(state, "run");
  const socket = join(run, "serve.sock");
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES) {
    throw new AppError("CONFIG_INVALID", `the socket path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${socket}`, {
      hint: "set AGENTKERNEL_HOME to a shorter path",
    });
  }
  const config = configDirectory(env, uid);
  return {
    state,
    database: join(state, "state.db"),
    run,
    socket,
    serveLock: join(run, "serve.lock"),
    serveLog: join(run, "serve.log"),
    authority: join(state, "authority"),
    events: join(state, "events"),
    delivery: join(state, "delivery"),
    deliveryLocks: join(run, "delivery"),
    logins: join(state, "logins"),
    vaultKey: join(state, "vault", "vault.key"),
    sandboxes: join(state, "sandboxes"),
    staged: join(state, "staged"),
    config,
    auditKey: join(config, "audit.key"),
  };
}

/** Folder of this user's configuration. @throws CONFIG_INVALID */
export function configDirectory(env: HostEnvironment, uid: number): string {
  const xdgConfig = absoluteVariable(env, "XDG_CONFIG_HOME");
  if (xdgConfig !== undefined) return join(xdgConfig, "agentkernel");
  return uid === 0 ? "/etc/agentkernel" : join(homeOf(env), ".config/agentkernel");
}

/** Configuration files in the order they are looked for; the first that exists is the one. Never from the working directory. */
export function configCandidates(env: HostEnvironment, uid: number): readonly string[] {
  const own =
    absoluteVariable(env, "XDG_CONFIG_HOME") ?? (uid === 0 && env.get("HOME") === undefined ? undefined : join(homeOf(env), ".config"));
  const candidates = [...(own === undefined ? [] : [join(own, "agentkernel/agentkernel.toml")]), "/etc/agentkernel/agentkernel.toml"];
  return [...new Set(candidates)];
}
