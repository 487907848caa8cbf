import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES, type Decision } from "../../policy/decision.ts";
import { createFrameTap, type FrameTap, type SocketJudge } from "../../providers/websocket/frame-tap.ts";
import type { SocketAsk, SocketCall } from "../../providers/websocket/session.ts";
import type { Recognition, RequestFacts, ResponseFacts } from "../../providers/types.ts";
import type { CallEnd, CallKind } from "../admission.ts";
import type { CutSocket, Exchange, SocketFilter } from "../exchange/exchange.ts";
import type { HeaderList } from "../exchange/header-list.ts";
import { headerOf } from "../exchange/headers.ts";
import { refusalFrames, type SocketRefusal } from "../exchange/socket-refusal.ts";
import type { Runtime } from "../runtime.ts";
import { UNKNOWN_END } from "./admission.ts";
import { type CallPart, reportCall } from "./call-record.ts";

/** A server that is in the middle of a message has so long to finish it before a refusal ends the socket without words (ms). */
const LAST_MESSAGE_MS = 2_000;

type Settle = (end: CallEnd) => void;

/** A call that was asked for and has not ended. */
type Pending = {
  readonly recognition: Recognition;
  readonly request: RequestFacts;
  readonly settle: Settle;
  /** tells the gate that it is over */
  readonly ended: () => void;
  readonly startedAt: number;
  /** bytes of answers before it */
  readonly answeredBefore: number;
  /** chunks of its answer so far */
  answerChunks: Exchange["answerChunks"];
};

/** The model calls in one WebSocket: each is admitted before its message leaves, and recorded and settled when it is over. */
export class SocketMeter implements SocketFilter, SocketJudge {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  readonly #recognition: Recognition;
  readonly #pending: Pending[] = [];
  #tap: FrameTap | null = null;
  #cut: CutSocket | undefined;
  #refusal: SocketRefusal | undefined;
  #timer: NodeJS.Timeout | undefined;
  #answered = 0;
  #calls = 0;
  #session: { readonly event: ReturnType<typeof reportCall> | undefined; readonly response: ResponseFacts } | undefined;

  constructor(runtime: Runtime, exchange: Exchange, recognition: Recognition) {
    this.#runtime = runtime;
    this.#exchange = exchange;
    this.#recognition = recognition;
  }

  /** record of the one call that the whole socket is, where it is one */
  get session(): { readonly event: ReturnType<typeof reportCall> | undefined; readonly response: ResponseFacts } | undefined {
    return this.#session;
  }

  get isActive(): boolean {
    return this.#runtime.gate.isActive;
  }

  opened(headers: HeaderList, cut: CutSocket): void {
    this.#cut = cut;
    this.#tap = createFrameTap(this.#recognition, {
      extensions: headerOf(headers, "sec-websocket-extensions"),
      onCall: (call) => this.#over(call),
      judge: this,
      holdBytes: this.#runtime.limits.inspectBytes,
    });
  }

  outgoing(chunk: Buffer): readonly Uint8Array[] {
    if (this.#refusal !== undefined) return [];
    const tap = this.#tap;
    try {
      if (tap === null) return [chunk];
      const passing = tap.fromClient(chunk);
      if (this.#wasRefused()) this.#refuse();
      return passing;
    } catch (error) {
      return this.#failed(error, chunk);
    }
  }

  incoming(chunk: Buffer): readonly Uint8Array[] {
    const tap = this.#tap;
    this.#answered += chunk.length;
    try {
      const first = this.#pending[0];
      if (first !== undefined) {
        const now = this.#runtime.clock.monotonic();
        const times = (first.answerChunks ??= { firstAt: now, lastAt: now, count: 0 });
        times.lastAt = now;
        times.count += 1;
      }
      tap?.fromServer(chunk);
    } catch (error) {
      return this.#failed(error, chunk);
    }
    if (this.#refusal === undefined || tap === null) return [chunk];
    const overhang = tap.serverOverhang;
    // the message that was under way goes on until its end, and what would begin behind it does not
    if (overhang !== null && overhang < chunk.length) this.#end(chunk.subarray(0, chunk.length - overhang));
    else if (overhang !== null) return [chunk];
    else this.#end(null);
    return [];
  }

  closed(first: "client" | "server" | "cut"): void {
    clearTimeout(this.#timer);
    try {
      const how = this.#tap?.wasClosed === true ? "complete" : first === "client" || this.#refusal !== undefined ? "aborted" : "error";
      this.#tap?.end(how);
    } catch (error) {
      this.#runtime.log.warn("usage of a WebSocket could not be read", { request_id: this.#exchange.id, error: messageOf(error) });
    }
    // sound to which nobody answered
    for (const pending of this.#pending.splice(0)) this.#settled(pending, { kind: "unsent" });
  }

  asked(ask: SocketAsk, bytes: number): boolean {
    const recognition = recognitionOf(this.#recognition, ask.operation);
    if (ask.fault !== undefined) {
      // nobody follows it, so nothing of it is kept: a client may ask for ever without an answer
      if (!this.isActive) return true;
      this.#deny({ rule: BUILT_IN_RULES.protocol, reason: ask.fault }, recognition, ask.request);
      return false;
    }
    const settle = this.#admit(recognition, ask.request, bytes, ask.kind);
    if (settle === undefined) return false;
    if (ask.kind === "call") {
      const startedAt = this.#runtime.clock.monotonic();
      const { request } = ask;
      const ended = this.#begin(recognition, request);
      this.#pending.push({ recognition, request, settle, ended, startedAt, answeredBefore: this.#answered, answerChunks: undefined });
      this.#runtime.metrics.llmStarted(this.#exchange.generation.egress.name);
    }
    return true;
  }

  unreadable(reason: string): void {
    this.#deny({ rule: BUILT_IN_RULES.protocol, reason }, this.#recognition, undefined);
  }

  /** Undefined: refused. */
  #admit(recognition: Recognition, facts: RequestFacts, bodyBytes: number, kind: CallKind): Settle | undefined {
    const { gate, log } = this.#runtime;
    this.#calls += 1;
    if (!gate.isActive) return ignored;
    const { id, generation } = this.#exchange;
    const { name: sandbox, labels } = generation.egress;
    try {
      const admission = gate.admit({ id: `${id}.${this.#calls}`, sandbox, labels, recognition, facts, bodyBytes, kind });
      if (admission.verdict === "allow") return admission.settle;
      const { rule, reason, hint } = admission;
      this.#deny({ rule, reason, ...(hint === undefined ? {} : { hint }) }, recognition, facts);
    } catch (error) {
      // what cannot be decided is denied
      log.error("a model call could not be judged", { request_id: id, error: messageOf(error) });
      const reason = "the budgets and permitted models could not be read";
      if (kind !== "used") this.#deny({ rule: BUILT_IN_RULES.error, reason }, recognition, facts);
    }
    return undefined;
  }

  /** One call is over: its record, and what it used. */
  #over(call: SocketCall): void {
    const pending = call.wasAsked ? this.#pending.shift() : undefined;
    const isSession = call.wasAsked && pending === undefined;
    const recognition = pending?.recognition ?? recognitionOf(this.#recognition, call.operation);
    const { clock } = this.#runtime;
    // what the server did by itself was not reserved, and counts all the same
    const settle = pending?.settle ?? (isSession ? ignored : this.#admit(recognition, call.request, 0, "used")) ?? ignored;
    const event = this.#report(recognition, call, {
      startedAt: pending?.startedAt ?? clock.monotonic(),
      firstByteAt: pending?.answerChunks?.firstAt,
      answerChunks: pending?.answerChunks,
      decision: this.#exchange.decision,
      status: this.#exchange.status,
    });
    if (isSession) this.#session = { event, response: call.response };
    const answerBytes = pending === undefined ? 0 : this.#answered - pending.answeredBefore;
    const end: CallEnd = {
      kind: "sent",
      event: event ?? { ...UNKNOWN_END, status: this.#exchange.status },
      response: call.response,
      answerBytes,
    };
    if (pending === undefined) settle(end);
    else this.#settled(pending, end);
    const next = this.#pending[0];
    if (next !== undefined) next.answerChunks = undefined;
  }

  /** The gate knows the socket from its beginning; the models that are called in it are known only now. */
  #begin({ provider }: Recognition, { model }: RequestFacts): () => void {
    const { id, generation } = this.#exchange;
    const { name: sandbox, labels } = generation.egress;
    const cut = (reason: string): boolean => {
      const { abort } = this.#exchange;
      abort?.(reason);
      return abort !== undefined;
    };
    return this.#runtime.gate.begin({ id: `${id}.${this.#calls}`, sandbox, labels, provider, model, cut });
  }

  #settled(pending: Pending, end: CallEnd): void {
    pending.ended();
    pending.settle(end);
    this.#runtime.metrics.llmEnded(this.#exchange.generation.egress.name);
  }

  #deny(refusal: SocketRefusal, recognition: Recognition, facts: RequestFacts | undefined): void {
    this.#refusal ??= refusal;
    const { connection, target, generation } = this.#exchange;
    const { rule, reason } = refusal;
    const policy = this.#exchange.decision?.policy ?? generation.egress.policy.ref;
    const decision: Decision = { verdict: "deny", rule, reason, policy };
    const { text: host } = target?.host ?? connection.expected;
    connection.attachment.decided("http", "deny", rule, reason, { host, port: connection.destination.port });
    this.#report(
      recognition,
      { request: facts, response: undefined },
      { startedAt: this.#runtime.clock.monotonic(), firstByteAt: undefined, decision, status: 403 },
    );
  }

  #report(
    recognition: Recognition,
    call: { readonly request: RequestFacts | undefined; readonly response: ResponseFacts | undefined },
    part: CallPart,
  ): ReturnType<typeof reportCall> | undefined {
    try {
      return reportCall(this.#runtime, this.#exchange, recognition, call.request, call.response, part);
    } catch (error) {
      this.#runtime.log.error("a model call could not be recorded", { request_id: this.#exchange.id, error: messageOf(error) });
      return undefined;
    }
  }

  #wasRefused(): boolean {
    return this.#refusal !== undefined;
  }

  /** Ends the socket: at once between two messages of the server, else behind the one that is under way. */
  #refuse(): void {
    const overhang = this.#tap?.serverOverhang ?? null;
    if (overhang === 0) this.#end(Buffer.alloc(0));
    else if (overhang === null) this.#end(null);
    else this.#timer = setTimeout(() => this.#end(null), LAST_MESSAGE_MS);
  }

  /** `rest`: of the server's last message; null: nobody knows where a frame of ours would stand. */
  #end(rest: Buffer | null): void {
    clearTimeout(this.#timer);
    const refusal = this.#refusal;
    if (rest === null || refusal === undefined) this.#cut?.([]);
    else this.#cut?.([refusalFrames(refusal, this.#recognition)], rest);
  }

  /** A fault of ours: the bytes are the client's, unless calls are limited. */
  #failed(error: unknown, chunk: Buffer): readonly Uint8Array[] {
    this.#runtime.log.error("metering of a WebSocket failed", { request_id: this.#exchange.id, error: messageOf(error) });
    if (!this.isActive) return [chunk];
    this.#cut?.([]);
    return [];
  }
}

function ignored(): void {
  // nothing was reserved
}

/** The operation of a call is its own; the handshake's model is in the call's facts, where it is the one that is meant. */
function recognitionOf({ model: _model, ...rest }: Recognition, operation: string): Recognition {
  return { ...rest, operation };
}
