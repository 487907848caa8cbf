import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Interrupts } from "./interrupts.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["performance"], now: 10_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function recording() {
  const notes: string[] = [];
  const killed: string[] = [];
  const interrupts = new Interrupts((text) => notes.push(text));
  const raised = vi.spyOn(process, "kill").mockReturnValue(true);
  return { interrupts, notes, killed, raised, exec: { kill: (signal: string) => void killed.push(signal) } };
}

const send = (signal: NodeJS.Signals): boolean => process.emit(signal);

describe("signals", () => {
  it("cancel the start, once, though npm passes on what the terminal has sent to all", () => {
    const { interrupts, raised } = recording();
    using _ = interrupts;
    expect(interrupts.exitCode).toBeUndefined();
    send("SIGINT");
    vi.advanceTimersByTime(20);
    send("SIGINT");
    vi.advanceTimersByTime(200);
    send("SIGTERM");
    expect(interrupts.signal.aborted).toBe(true);
    expect(interrupts.exitCode).toBe(130);
    expect(raised).not.toHaveBeenCalled();
  });

  it("mean now when they come again", () => {
    const { interrupts, raised } = recording();
    using _ = interrupts;
    send("SIGINT");
    vi.advanceTimersByTime(600);
    send("SIGINT");
    expect(raised).toHaveBeenCalledExactlyOnceWith(process.pid, "SIGINT");
    // nobody listens any more, so the kernel's default follows
    expect(process.listenerCount("SIGINT")).toBe(0);
  });

  it("go to the command while it runs, each wish once", () => {
    const { interrupts, killed, exec, notes } = recording();
    using _ = interrupts;
    interrupts.running(exec);
    send("SIGINT");
    send("SIGINT");
    send("SIGTERM");
    vi.advanceTimersByTime(150);
    send("SIGINT");
    send("SIGUSR1");
    expect(killed).toEqual(["SIGINT", "SIGTERM", "SIGINT", "SIGUSR1"]);
    expect(notes).toEqual([]);
  });

  it("end a command whose start was cancelled too late", () => {
    const { interrupts, killed, exec } = recording();
    using _ = interrupts;
    send("SIGTERM");
    interrupts.running(exec);
    expect(killed).toEqual(["SIGKILL"]);
  });

  it("wait while the workspace is written back, and are obeyed when they insist", () => {
    const { interrupts, killed, exec, notes, raised } = recording();
    using _ = interrupts;
    interrupts.running(exec);
    interrupts.finishing();
    send("SIGINT");
    expect(notes).toHaveLength(1);
    expect(killed).toEqual([]);
    send("SIGUSR2");
    vi.advanceTimersByTime(499);
    send("SIGINT");
    expect(raised).not.toHaveBeenCalled();
    vi.advanceTimersByTime(101);
    send("SIGINT");
    expect(raised).toHaveBeenCalledExactlyOnceWith(process.pid, "SIGINT");
  });
});
