import { compilePaths, type PathNode, type PathOptions, type PathSpec } from "../json/paths.ts";
import type { SlotPaths } from "./shape.ts";

/** slot name that text paths share */
export const TEXT = "text";

/** The tree of a shape's response: values by slot, and the paths of the text that a model streams (for estimates). */
export function responsePaths(
  values: SlotPaths,
  text: readonly string[],
  options: PathOptions & { readonly counts?: SlotPaths } = {},
): PathNode {
  const specs: PathSpec[] = [];
  for (const [slot, paths] of Object.entries(values)) for (const path of paths) specs.push({ path, slot, action: "value" });
  for (const [slot, paths] of Object.entries(options.counts ?? {})) for (const path of paths) specs.push({ path, slot, action: "enter" });
  for (const path of text) specs.push({ path, slot: TEXT, action: "text" });
  return compilePaths(specs, options);
}
