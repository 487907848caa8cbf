import type { HeldDirectory } from "../../base/beneath.ts";

/**
 * Goes to one directory below a root after another, no symlink followed. What leads to the last one stays open, so that
 * neighbours in a listing cost a step each and not their whole depth.
 */
export class Descent implements AsyncDisposable {
  readonly #root: HeldDirectory;
  readonly #way: { readonly name: string; readonly held: HeldDirectory }[] = [];

  constructor(root: HeldDirectory) {
    this.#root = root;
  }

  /** The directory that holds `path`, and the last component; valid until the next call. */
  async parentOf(path: string): Promise<{ readonly directory: HeldDirectory; readonly name: string }> {
    const parts = path.split("/");
    const name = parts.pop() ?? "";
    let common = 0;
    while (common < this.#way.length && this.#way[common]?.name === parts[common]) common += 1;
    await this.#backTo(common);
    for (const part of parts.slice(common)) {
      const above = this.#way.at(-1)?.held ?? this.#root;
      this.#way.push({ name: part, held: await above.descend(part) });
    }
    return { directory: this.#way.at(-1)?.held ?? this.#root, name };
  }

  async #backTo(depth: number): Promise<void> {
    while (this.#way.length > depth) await this.#way.pop()?.held[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#backTo(0);
  }
}
