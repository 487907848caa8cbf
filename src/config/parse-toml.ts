import { parse, TomlError } from "smol-toml";
import { AppError } from "../base/error.ts";

export type RawTable = Readonly<Record<string, unknown>>;

/** @throws CONFIG_INVALID as `file:line:column: what is wrong`, in one line */
export function parseToml(text: string, file: string): RawTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // the first line says what, the rest is a picture of the place
    const what = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    // without its cause: the picture is of a line in which a secret may stand
    throw new AppError("CONFIG_INVALID", `${file}:${error.line}:${error.column}: ${what}`, {
      hint: 'text is quoted: host = "api.example.com"; see docs/reference/config.md',
    });
  }
}
