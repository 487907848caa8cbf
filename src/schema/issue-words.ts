import type { z } from "zod";

export type IssueWords = {
  /** continues the sentence that begins with the name of what is wrong */
  readonly message: string;
  /** what to write instead */
  readonly remedy?: string;
};

/**
 * What zod found, in the words of these pages; never the value that was given. Needs `reportInput` to tell what is missing.
 * @param notation in which the value was written: what a table is called there, and how it is written
 */
export function sayIssue(issue: z.core.$ZodIssue, notation: "toml" | "json" = "toml"): IssueWords {
  // our own messages continue the sentence "<key> …" and name the remedy themselves
  if (/^(?:is|has|must) /.test(issue.message)) {
    const [message = "", ...remedy] = issue.message.split(": ");
    return { message, ...(remedy.length === 0 ? {} : { remedy: remedy.join(": ") }) };
  }
  if (issue.code === "unrecognized_keys")
    return { message: `has no field ${issue.keys.map((key) => JSON.stringify(key.slice(0, 60))).join(", ")}` };
  if (issue.input === undefined) return { message: "is missing" };
  switch (issue.code) {
    case "invalid_type":
      return notation === "json"
        ? { message: `is not ${JSON_TYPES[issue.expected] ?? TYPES[issue.expected] ?? issue.expected}` }
        : { message: `is not ${TYPES[issue.expected] ?? issue.expected}`, remedy: `write ${EXAMPLES[issue.expected] ?? "another value"}` };
    case "invalid_value": {
      const values = issue.values.map(String).join(", ");
      return { message: `is none of ${values}`, remedy: `write one of ${values}` };
    }
    case "invalid_union":
      return typeof issue.discriminator === "string" && "options" in issue && Array.isArray(issue.options)
        ? { message: `is none of ${issue.options.join(", ")}`, remedy: `write one of ${issue.options.join(", ")}` }
        : { message: "is not valid" };
    case "too_small":
      if (issue.origin !== "string" && issue.origin !== "array")
        return { message: "is too small", remedy: `${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}` };
      return issue.minimum === 1
        ? { message: "is empty" }
        : { message: "is too short", remedy: `at least ${issue.minimum}${unitOf(issue.origin)}` };
    case "too_big":
      return issue.origin === "string" || issue.origin === "array"
        ? { message: "is too long", remedy: `at most ${issue.maximum}${unitOf(issue.origin)}` }
        : { message: "is too large", remedy: `at most ${issue.maximum}` };
    case "invalid_key":
      return nameWords(issue.issues[0], notation);
    default:
      return { message: "is not valid" };
  }
}

/** The key of an entry that is not one, as those who made the rule say it. */
function nameWords(rule: z.core.$ZodIssue | undefined, notation: "toml" | "json"): IssueWords {
  const words = rule === undefined ? { message: "is not valid" } : sayIssue(rule, notation);
  return { ...words, message: `has a name that ${words.message}` };
}

function unitOf(origin: string): string {
  return origin === "string" ? " characters" : " entries";
}

const TYPES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a table",
  record: "a table",
};
const JSON_TYPES: Readonly<Record<string, string>> = { object: "a JSON object", record: "a JSON object" };
const EXAMPLES: Readonly<Record<string, string>> = {
  string: "it in quotes",
  number: "a number without quotes",
  int: "a whole number without quotes",
  boolean: "true or false without quotes",
  array: "a list, as [ … ]",
  object: "a table, as [name] or { … }",
  record: "a table, as [name] or { … }",
};
