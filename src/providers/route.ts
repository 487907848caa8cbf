import type { ShapeId } from "./types.ts";

/** One kind of call: where it is sent, what it is, how its bodies are written. */
export type Route = {
  readonly method: "POST" | "GET";
  /**
   * `*` is one segment, `{model}` is one or more segments and the model, `{id}` is one segment and the id of what is fetched,
   * `:name` at the end is Google's method
   */
  readonly path: string;
  readonly shape: ShapeId;
  readonly operation: string;
  /** the path decides */
  readonly streaming?: boolean;
  /** default true */
  readonly billable?: boolean;
  /** may be asked for its usage by `stream_options` */
  readonly takesStreamOptions?: boolean;
  /** the query field that names the model, where the body does not */
  readonly modelQuery?: string;
  readonly webSocket?: true;
};

export function post(path: string, shape: ShapeId, operation: string, rest: Partial<Route> = {}): Route {
  return { method: "POST", path, shape, operation, ...rest };
}

export function get(path: string, shape: ShapeId, operation: string, rest: Partial<Route> = {}): Route {
  return { method: "GET", path, shape, operation, ...rest };
}

/** A WebSocket's handshake. */
export function socket(path: string, shape: ShapeId, operation: string, rest: Partial<Route> = {}): Route {
  return { method: "GET", path, shape, operation, streaming: true, webSocket: true, ...rest };
}

/** what a WebSocket's handshake is asked for with, instead of its method */
export const HANDSHAKE = "HANDSHAKE";

export type RouteMatch = { readonly route: Route; readonly model: string | null; readonly id: string | null };

type Compiled = { readonly route: Route; readonly pattern: RegExp };

/** Routes ready to look up, the first that fits. Paths are compared without case, models keep theirs. */
export class RouteTable {
  readonly #exact = new Map<string, Route>();
  readonly #patterns: readonly Compiled[];
  readonly #suffixes: boolean;

  /** `suffixes`: a route's path may stand at the end of any path (an operator's own server under any base) */
  constructor(routes: readonly Route[], options: { readonly suffixes?: boolean } = {}) {
    this.#suffixes = options.suffixes ?? false;
    for (const route of routes) {
      const key = `${kindOf(route)} ${route.path.toLowerCase()}`;
      if (isExact(route) && !this.#exact.has(key)) this.#exact.set(key, route);
    }
    this.#patterns = routes.filter((route) => !isExact(route)).map((route) => ({ route, pattern: compile(route.path) }));
  }

  /** `path` is canonical; a WebSocket's routes are matched by handshakes only */
  match(kind: string, path: string): RouteMatch | null {
    const folded = path.toLowerCase();
    for (let at = this.#suffixes ? firstSuffix(folded) : 0; at >= 0; at = this.#suffixes ? folded.indexOf("/", at + 1) : -1) {
      const exact = this.#exact.get(`${kind} ${folded.slice(at)}`);
      if (exact !== undefined) return { route: exact, model: null, id: null };
      for (const { route, pattern } of this.#patterns) {
        if (kindOf(route) !== kind) continue;
        const found = pattern.exec(path.slice(at));
        if (found !== null) return { route, model: found.groups?.["model"] ?? null, id: found.groups?.["id"] ?? null };
      }
    }
    return null;
  }
}

/** segments at the end of a path that a route may take up: the longest has nine, and a model a few more */
const MAX_SUFFIX = 24;

/** Where the last segments begin; with them all a path of a thousand segments would cost a million steps. */
function firstSuffix(path: string): number {
  let at = path.length;
  for (let count = 0; count < MAX_SUFFIX && at > 0; count += 1) at = path.lastIndexOf("/", at - 1);
  return Math.max(at, 0);
}

function kindOf(route: Route): string {
  return route.webSocket === true ? HANDSHAKE : route.method;
}

function isExact(route: Route): boolean {
  return !route.path.includes("*") && !route.path.includes("{");
}

const TOKENS: Readonly<Record<string, string>> = { "*": "[^/]+", "{model}": "(?<model>.{1,256}?)", "{id}": "(?<id>[^/]{1,256})" };

function compile(path: string): RegExp {
  const source = path
    .split(/(\*|\{model\}|\{id\})/)
    .map((part) => TOKENS[part] ?? part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("");
  return new RegExp(`^${source}$`, "i");
}
