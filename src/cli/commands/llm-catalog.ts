import type { LlmPrice, LlmProvider } from "../../schema/llm-catalog.ts";
import { connect } from "../connect.ts";
import { count, printable } from "../output.ts";
import { table } from "../table.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel llm providers` */
export async function providers(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  using client = await connect(cli);
  const found = await client.llmProviders();
  if (flags.json === true) cli.output.json(found);
  else if (found.length === 0) cli.output.note("model calls are not recognised: llm.enabled = false");
  else cli.output.out(providerTable(found, cli.output.width));
  return 0;
}

/** One line for each host: a provider has one or many. What each of its shapes is called is in the JSON. */
export function providerTable(found: readonly LlmProvider[], width: number): string {
  const rows = found.flatMap((row) => row.hosts.map((host, at) => ({ ...row, host, isFirst: at === 0 })));
  const isMixed = found.some(({ source }) => source === "file");
  return table(
    rows,
    [
      {
        title: "PROVIDER",
        value: ({ isFirst, provider, name }) => (isFirst ? (name === null || name === provider ? provider : `${provider} (${name})`) : ""),
      },
      ...(isMixed ? [{ title: "FROM", value: ({ isFirst, source }: (typeof rows)[number]) => (isFirst ? SOURCES[source] : "") }] : []),
      { title: "PRICES", value: (row) => (row.isFirst ? count(row.priced_models) : ""), align: "right" },
      { title: "SPEAKS", value: ({ isFirst, shapes }) => (isFirst ? familiesOf(shapes).join(" ") : ""), wraps: true },
      { title: "HOSTS", value: ({ host }) => host, wraps: true },
    ],
    width,
  );
}

/** Whose formats they are: a provider that speaks OpenAI's has most of its seven. */
function familiesOf(shapes: readonly string[]): readonly string[] {
  return [...new Set(shapes.map((shape) => (shape === "llama-cpp" || shape === "lm-studio" ? shape : (shape.split("-")[0] ?? shape))))];
}

const SOURCES = { built_in: "built in", file: "file" } as const;

/** `agentkernel llm prices [MODEL]` */
export async function prices(
  cli: Cli,
  model: string | undefined,
  flags: { readonly provider?: string; readonly json?: boolean },
): Promise<number> {
  using client = await connect(cli);
  const found = await client.llmPrices({
    ...(flags.provider === undefined ? {} : { provider: flags.provider }),
    ...(model === undefined ? {} : { model }),
  });
  if (flags.json === true) cli.output.json(found);
  else if (found.prices.length === 0) cli.output.note(`no price is known; unknown_price is "${found.unknown_price}"`);
  else cli.output.out(priceTable(found.prices, cli.output.width));
  return 0;
}

function priceTable(found: readonly LlmPrice[], width: number): string {
  return table(
    found,
    [
      { title: "PROVIDER", value: ({ provider }) => provider ?? "every" },
      { title: "MODEL", value: ({ model }) => model, wraps: true },
      { title: "INPUT", value: ({ input }) => perMillion(input), align: "right" },
      { title: "OUTPUT", value: ({ output }) => perMillion(output), align: "right" },
      { title: "CACHE READ", value: (row) => perMillion(row.cache_read), align: "right" },
      { title: "CACHE WRITE", value: (row) => perMillion(row.cache_write), align: "right" },
      { title: "BESIDE", value: beside, wraps: true },
      { title: "FROM", value: ({ source }) => SOURCES[source] },
    ],
    width,
  );
}

function perMillion(price: number | null): string {
  return price === null ? "–" : `$${figure(price)}`;
}

/** Without the digits that a float adds. */
function figure(price: number): string {
  return String(Number(price.toPrecision(6)));
}

/** What is not by the token, and what changes with the size of the context. */
function beside({ request, units, steps }: LlmPrice): string {
  return [
    ...(request === null ? [] : [`$${figure(request)}/call`]),
    ...Object.entries(units).map(([unit, price]) => `${printable(unit)} $${figure(price)}`),
    ...steps.map(({ from_tokens: from, of, price }) => `${of} $${figure(price)} from ${count(from)}`),
  ].join(", ");
}
