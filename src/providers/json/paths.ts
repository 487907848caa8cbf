/**
 * What to do with the value at a path. `value`: hand its parsed JSON to the sink. `text`: count the bytes of a string.
 * `enter`: say that a value begins there.
 */
export type PathAction = "value" | "text" | "enter";

/** `a.b` is key b of the object under key a; `*` is every element of an array. The slot is the name the sink is given. */
export type PathSpec = { readonly path: string; readonly slot: string; readonly action: PathAction };

/** Where a key leads; `variantOf` is the slot of a path key that it equals but for its case. */
export type KeyMatch = { readonly node: PathNode | null; readonly variantOf: string | null };

/** A key of a path; `exact` is what an equal key gives, made once since it is asked for on every chunk. */
export type PathKey = { readonly bytes: Buffer; readonly node: PathNode; readonly exact: KeyMatch };

export type PathNode = {
  slot: string | null;
  action: PathAction | null;
  /** tell the sink about keys that no path names */
  reportsOthers: boolean;
  /** a top-level array is read as a sequence of documents */
  unwrapsArray: boolean;
  element: PathNode | null;
  /** by case-folded hash; a key that differs in case only is a parser differential worth telling (Go's encoding/json folds case) */
  readonly byHash: Map<number, PathKey[]>;
  readonly byName: Map<string, PathNode>;
};

export type PathOptions = { readonly unwrapsArray?: boolean; readonly reportsOthers?: boolean };

/** One step of the key hash; folds ASCII case. */
export function hashStep(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + (byte | 0x20)) | 0;
}

/** Builds the tree that {@link JsonScanner} walks; done once per shape. */
export function compilePaths(specs: readonly PathSpec[], options: PathOptions = {}): PathNode {
  const root = emptyNode();
  root.unwrapsArray = options.unwrapsArray ?? false;
  root.reportsOthers = options.reportsOthers ?? false;
  for (const spec of specs) {
    let node = root;
    for (const step of spec.path.split(".")) node = step === "*" ? (node.element ??= emptyNode()) : child(node, step);
    node.slot = spec.slot;
    node.action = spec.action;
  }
  return root;
}

function emptyNode(): PathNode {
  return { slot: null, action: null, reportsOthers: false, unwrapsArray: false, element: null, byHash: new Map(), byName: new Map() };
}

function child(node: PathNode, key: string): PathNode {
  const known = node.byName.get(key);
  if (known !== undefined) return known;
  const made = emptyNode();
  const bytes = Buffer.from(key);
  let hash = 0;
  for (const byte of bytes) hash = hashStep(hash, byte);
  node.byName.set(key, made);
  node.byHash.set(hash, [...(node.byHash.get(hash) ?? []), { bytes, node: made, exact: { node: made, variantOf: null } }]);
  return made;
}
