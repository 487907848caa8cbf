import type { ProviderTable } from "./recognize.ts";
import type { ShapeId } from "./types.ts";

/** An operator's own provider, `[[llm.providers]]`. */
export type OperatorProvider = { readonly name: string; readonly hosts: readonly string[]; readonly shape: ShapeId };

export type ProviderTableOptions = {
  /** hosts that report `custom` and speak the OpenAI shape; override built-ins */
  readonly customDomains: readonly string[];
  readonly providers?: readonly OperatorProvider[];
};

/** @throws AppError CONFIG_INVALID for a host pattern that cannot match anything */
export function createProviderTable(options: ProviderTableOptions): ProviderTable {
  void options;
  return { recognize: () => undefined };
}
