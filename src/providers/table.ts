import { AppError } from "../base/error.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { OperatorShape } from "../schema/operator-shapes.ts";
import { PROVIDER_IDS } from "../schema/provider-ids.ts";
import type { ModelProviderSettings } from "../schema/settings.ts";
import { BUILT_IN_PROVIDERS, type ProviderRow } from "./hosts.ts";
import { canonicalPath } from "./path.ts";
import type { ProviderTable } from "./recognize.ts";
import { HANDSHAKE, RouteTable, type Route } from "./route.ts";
import {
  anthropicRoutes,
  AZURE_ROUTES,
  BEDROCK_ROUTES,
  COHERE_ROUTES,
  CUSTOM_ROUTES,
  googleRoutes,
  MISTRAL_ROUTES,
  OLLAMA_ROUTES,
  responsesRoutes,
} from "./routes.ts";
import type { Recognition, RecognizeRequest, ShapeId } from "./types.ts";
import { mayGenerate, UNRECOGNISED } from "./unknown-paths.ts";

/** What an operator's own server speaks; the first of them says what it is mostly asked with. */
const ROUTES_OF_SHAPE: Readonly<Record<OperatorShape, readonly Route[]>> = {
  "openai-chat": CUSTOM_ROUTES,
  "openai-responses": [...responsesRoutes(""), ...CUSTOM_ROUTES],
  "anthropic-messages": anthropicRoutes(""),
  "google-generate-content": [...googleRoutes("/models"), ...googleRoutes("/tunedModels")],
  "mistral-conversations": MISTRAL_ROUTES,
  "bedrock-converse": BEDROCK_ROUTES,
  azure: AZURE_ROUTES,
  cohere: COHERE_ROUTES,
  ollama: OLLAMA_ROUTES,
};

export type ProviderTableOptions = {
  /** hosts that report `custom` and speak the OpenAI shape; override built-ins */
  readonly customDomains: readonly string[];
  readonly providers?: readonly ModelProviderSettings[];
};

/** One kind of host, and what is understood there. */
export type ListedProvider = {
  readonly provider: ProviderId;
  readonly name: string | null;
  readonly source: "built_in" | "file";
  readonly hosts: readonly string[];
  readonly shapes: readonly string[];
  readonly operations: readonly string[];
  /** null: it depends on the request */
  readonly includeUsage: boolean | null;
};

/** Every provider of the table that these options make, in the order in which hosts are looked up. */
export function listProviders({ customDomains, providers = [] }: ProviderTableOptions): readonly ListedProvider[] {
  const listed = (row: Omit<ListedProvider, "shapes" | "operations">, routes: readonly Route[]): ListedProvider => ({
    ...row,
    shapes: [...new Set(routes.map(({ shape }) => shape))],
    operations: [...new Set(routes.map(({ operation }) => operation))],
  });
  const own = providers.map((one) => {
    const { name, hosts, shape } = one;
    return listed({ provider: reportedAs(one), name, source: "file", hosts, includeUsage: asksForUsage(one) }, ROUTES_OF_SHAPE[shape]);
  });
  const custom = listed({ provider: "custom", name: null, source: "file", hosts: customDomains, includeUsage: true }, CUSTOM_ROUTES);
  const builtIn = BUILT_IN_PROVIDERS.map(({ provider, hosts, hostNames = [], injectUsage, routes }) =>
    listed(
      {
        provider,
        name: null,
        source: "built_in",
        hosts: [...hosts, ...hostNames],
        includeUsage: typeof injectUsage === "boolean" ? injectUsage : null,
      },
      routes,
    ),
  );
  return [...own, ...(customDomains.length === 0 ? [] : [custom]), ...builtIn];
}

function reportedAs({ name }: ModelProviderSettings): ProviderId {
  return PROVIDER_IDS.find((id) => id === name) ?? "custom";
}

function asksForUsage({ includeUsage, shape }: ModelProviderSettings): boolean {
  return includeUsage ?? TAKE_STREAM_OPTIONS.has(shape);
}

type Entry = Pick<ProviderRow, "provider" | "injectUsage" | "unknownBelow" | "quiet"> & {
  readonly routes: RouteTable;
  /** how calls of unknown paths are read and answered */
  readonly unknownShape: ShapeId;
};

const TAKE_STREAM_OPTIONS: ReadonlySet<OperatorShape> = new Set<OperatorShape>(["openai-chat", "openai-responses", "ollama"]);

const EXACT = new Map<string, Entry>();
const PATTERNS: { readonly pattern: RegExp; readonly entry: Entry }[] = [];
for (const row of BUILT_IN_PROVIDERS) {
  const routes = new RouteTable(row.routes, { suffixes: row.anyBase ?? false });
  const { provider, injectUsage, unknownBelow, quiet } = row;
  const entry: Entry = {
    provider,
    injectUsage,
    routes,
    unknownShape: shapeOfUnknown(row.routes),
    ...(unknownBelow === undefined ? {} : { unknownBelow }),
    ...(quiet === undefined ? {} : { quiet }),
  };
  for (const host of row.hosts) EXACT.set(host, entry);
  if (row.hostPattern !== undefined) PATTERNS.push({ pattern: row.hostPattern, entry });
}

/**
 * Host for identity, path for shape. `[[llm.providers]]` come first, then custom domains, then the built-in hosts.
 * @throws AppError CONFIG_INVALID for a host that cannot match anything
 */
export function createProviderTable(options: ProviderTableOptions): ProviderTable {
  const exact = new Map<string, Entry>();
  const below: { readonly suffix: string; readonly entry: Entry }[] = [];
  const add = (host: string, entry: Entry): void => {
    const name = canonicalPattern(host);
    if (name.startsWith("*.")) below.push({ suffix: name.slice(1), entry });
    else if (!exact.has(name)) exact.set(name, entry);
  };
  for (const own of options.providers ?? []) {
    const routes = new RouteTable(ROUTES_OF_SHAPE[own.shape], { suffixes: true });
    for (const host of own.hosts)
      add(host, {
        provider: reportedAs(own),
        injectUsage: asksForUsage(own),
        routes,
        unknownShape: own.shape === "azure" ? "openai-chat" : own.shape,
      });
  }
  const custom: Entry = {
    provider: "custom",
    injectUsage: true,
    routes: new RouteTable(CUSTOM_ROUTES, { suffixes: true }),
    unknownShape: "openai-chat",
  };
  for (const host of options.customDomains) add(host, custom);

  const entryOf = (host: string): Entry | undefined =>
    exact.get(host) ??
    below.find(({ suffix }) => host.endsWith(suffix) && host.length > suffix.length)?.entry ??
    EXACT.get(host) ??
    PATTERNS.find(({ pattern }) => pattern.test(host))?.entry;

  return {
    recognize: (request) => {
      const entry = entryOf(request.host);
      return entry === undefined ? undefined : recognize(entry, request);
    },
  };
}

function recognize(entry: Entry, request: RecognizeRequest): Recognition | undefined {
  const path = canonicalPath(request.path);
  if (path === null) return undefined;
  const kind = request.upgrade === true ? HANDSHAKE : request.method.toUpperCase();
  const found = entry.routes.match(kind, path);
  if (found === null) return mayGenerate({ kind, path }, entry.unknownBelow, entry.quiet) ? unrecognised(entry) : undefined;
  const { route, id } = found;
  const model = found.model ?? modelOf(request.query, route.modelQuery);
  return {
    provider: entry.provider,
    shape: route.shape,
    operation: route.operation,
    ...(model === null ? {} : { model }),
    ...(route.streaming === undefined ? {} : { streaming: route.streaming }),
    billable: route.billable ?? true,
    injectUsage: route.takesStreamOptions === true && takesStreamOptions(entry, request),
    ...(id === null ? {} : { responseId: id }),
    ...(route.webSocket === undefined ? {} : { webSocket: route.webSocket }),
  };
}

/** A call that may cost what nobody has counted: it is recorded, and budgets and permitted models hold for it. */
function unrecognised({ provider, unknownShape }: Entry): Recognition {
  return { provider, shape: unknownShape, operation: UNRECOGNISED, billable: true, injectUsage: false };
}

function shapeOfUnknown([first]: readonly Route[]): ShapeId {
  return first?.shape ?? "openai-chat";
}

function takesStreamOptions({ injectUsage }: Entry, request: RecognizeRequest): boolean {
  return typeof injectUsage === "boolean" ? injectUsage : injectUsage(request);
}

function modelOf(query: string, field: string | undefined): string | null {
  const model = field === undefined ? null : new URLSearchParams(query).get(field);
  return model === null || model === "" || model.length > 256 ? null : model;
}

const PATTERN = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const ADDRESS = /^\[?[0-9a-f:.]+\]?$/;

/** `host` or `*.host` in canonical spelling. */
function canonicalPattern(host: string): string {
  const name = host.toLowerCase().replace(/\.$/, "");
  if (PATTERN.test(name)) return name;
  if (ADDRESS.test(name) && name.includes(":")) return name.replace(/^\[|\]$/g, "");
  throw new AppError("CONFIG_INVALID", `${JSON.stringify(host)} is not a host name for a model provider`, {
    hint: "write a host such as llm.corp.example or *.corp.example, without scheme, port or path",
  });
}
