import { availableParallelism } from "node:os";
import { ignore } from "../../base/background.ts";
import type { Log } from "../../base/log.ts";
import { Semaphore } from "../../base/semaphore.ts";
import { Turnstile } from "../../base/turnstile.ts";
import type { Backend, BackendSandbox, Capabilities, ProbeReport, SandboxSpec } from "../../sandbox/backend.ts";
import type { Controller } from "./cgroup.ts";
import { launch, validateSpec } from "./launch.ts";
import { Launcher } from "./launcher.ts";
import { guestPath, readMachine, type Machine, type MachineOptions } from "./machine.ts";
import { probeMachine } from "./probe.ts";

export type BubblewrapOptions = MachineOptions & {
  readonly log: Log;
  /** ms that a start may take, without the hand-over of its files; default 15000 */
  readonly startTimeoutMs?: number;
};

/** more at once keep this process from its cores without starting any sooner */
const STARTS_AT_ONCE = Math.max(6, 3 * availableParallelism());
const DEFAULT_START_TIMEOUT_MS = 15_000;

/** Linux namespaces through bubblewrap: no daemon, no root, no image; the root is the host's /usr, read-only. */
export function createBubblewrapBackend(options: BubblewrapOptions): Backend {
  return new BubblewrapBackend(options);
}

class BubblewrapBackend implements Backend {
  readonly name = "bubblewrap";
  readonly #options: BubblewrapOptions;
  readonly #starts = new Semaphore(STARTS_AT_ONCE);
  readonly #turns = new Turnstile();
  readonly #launcher: Launcher;
  #machine: Promise<Machine> | undefined;
  #controllers: ReadonlySet<Controller> | undefined;
  #probed: ProbeReport | undefined;

  constructor(options: BubblewrapOptions) {
    this.#options = options;
    this.#launcher = new Launcher(() => guestPath("launcher", options), options.log);
  }

  /** How limits are held as a rule: before the first look at the machine, what root usually has. A sandbox's own `limits` are exact. */
  get capabilities(): Capabilities {
    const has = (controller: Controller): boolean => this.#controllers?.has(controller) ?? process.getuid?.() === 0;
    return {
      transparentEgress: true,
      tty: true,
      writableRoot: false,
      images: false,
      adopt: false,
      bindMounts: true,
      limits: {
        memory: has("memory") ? "cgroup" : "watchdog",
        cpu: has("cpu") ? "cgroup" : "affinity",
        pids: has("pids") ? "cgroup" : "rlimit",
        files: "rlimit",
        disk: "tmpfs",
      },
    };
  }

  async probe(signal: AbortSignal): Promise<ProbeReport> {
    if (this.#probed !== undefined) return this.#probed;
    const report = await probeMachine({
      machine: () => this.#ready(),
      create: (spec) => this.create(spec, { signal, log: this.#options.log }),
      options: this.#options,
      signal,
    });
    // kept for this boot, since nothing that it looked at changes by itself; a failure is looked at again once it was fixed
    if (report.available) this.#probed = report;
    return report;
  }

  prepare(): void {
    ignore(this.#ready(), "a create that needs it tells");
  }

  async create(spec: SandboxSpec, { signal, log }: { readonly signal: AbortSignal; readonly log: Log }): Promise<BackendSandbox> {
    validateSpec(spec);
    const machine = await this.#ready();
    const timeoutMs = this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
    return launch(machine, spec, {
      signal,
      log: log.child({ sandbox: spec.name }),
      timeoutMs,
      starts: this.#starts,
      turns: this.#turns,
      launcher: this.#launcher,
    });
  }

  #ready(): Promise<Machine> {
    if (this.#machine === undefined) {
      const machine = readMachine(this.#options, this.#options.log);
      this.#machine = machine;
      machine.then(
        (read) => {
          this.#controllers = read.means.controllers;
        },
        () => {
          // what was missing may be there at the next try
          if (this.#machine === machine) this.#machine = undefined;
        },
      );
    }
    return this.#machine;
  }
}
