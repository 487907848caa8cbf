import { below, type Seen } from "./seen.ts";

const listing = "e2e/listing-options.test.ts";
const of = (command: string, ...names: readonly string[]): readonly string[] => below(`${command} --`, ...names);

const json = (command: string): string => `${command} --json`;

/** Options of commands that show, change and register. */
export const LISTINGS: readonly Seen[] = [
  {
    file: listing,
    title: "--json prints JSON where people get words",
    keys: [
      "policy check --sandbox",
      ...["llm usage", "llm providers", "llm prices", "llm budget set", "llm budget ls", "llm keys ls", "secret ls"].map(json),
      ...["audit verify", "audit head", "hooks ls", "hooks test", "policy check", "policy allow", "policy deny", "policy ls"].map(json),
    ],
  },
  { file: listing, title: "config explain says where a value comes from", keys: of("config explain", "json") },
  {
    file: listing,
    title: "%j %s says how many",
    keys: ["audit tail", "policy log", "logs", "audit dead", "hooks dead"].map((command) => `${command} --lines`),
  },
  {
    file: listing,
    title: "--sandbox, --since, --type and --denied",
    keys: [
      ...of("audit tail", "sandbox", "since", "type", "json"),
      ...of("policy log", "sandbox", "since", "denied", "json"),
      "audit export --since",
    ],
  },
  { file: listing, title: "%s %s -f shows what follows", keys: ["audit tail --follow", "policy log --follow"] },
  {
    file: listing,
    title: "llm usage: --sandbox, --since",
    keys: [...of("llm usage", "sandbox", "since", "by", "csv", "all"), "llm prices --provider"],
  },
  { file: "e2e/llm.test.ts", title: "are seen while they happen", keys: ["llm usage --watch"] },
  {
    file: listing,
    title: "audit head -n, verify --from; ls --label",
    keys: ["audit head --lines", "audit verify --from", "ls --label", "policy check --profile"],
  },
  { file: "e2e/audit-commands.test.ts", title: "verify takes the keys of before", keys: ["audit verify --key"] },
  { file: "e2e/audit-commands.test.ts", title: "verify says by its exit code", keys: ["audit verify --anchors"] },
  { file: "e2e/audit-commands.test.ts", title: "exports the events as they stand", keys: of("audit export", "format", "ocsf-version") },
  {
    file: listing,
    title: "dead letters are sent again and removed",
    keys: [
      ...of("audit dead", "sink", "purge", "json"),
      ...of("audit replay", "sink", "since", "dead"),
      ...of("hooks dead", "purge", "json"),
      ...of("hooks replay", "since", "dead"),
    ],
  },
  { file: listing, title: "llm budget set keeps", keys: of("llm budget set", "limit", "unit", "scope", "window", "on-exceed") },
  {
    file: listing,
    title: "hooks add keeps",
    keys: of(
      "hooks add",
      "event",
      "url",
      "file",
      "audit",
      "filter",
      "signed",
      "decide",
      "timeout-ms",
      "cache-ttl",
      "batch",
      "include-body",
    ),
  },
  {
    file: listing,
    title: "policy --wait ends when",
    keys: [...of("policy allow", "wait", "sandbox"), ...of("policy deny", "wait", "sandbox"), "policy rm --wait"],
  },
];
