import type { CanonicalHost } from "../../policy/host.ts";

// RFC 2544 benchmark network: never routed on the Internet, so no real destination is hidden by it
const BASE = (198 << 24) | (18 << 16);
const SIZE = 1 << 17;
const CAPACITY = 4096;

/** Names of one sandbox and the addresses they were given: stable while held, least recently used go first. */
export class SyntheticAddresses {
  readonly #byName = new Map<string, { readonly host: CanonicalHost; readonly slot: number }>();
  readonly #bySlot = new Map<number, CanonicalHost>();
  #next = 1;

  /** The address of a name; `fresh` when it was not known before. */
  assign(host: CanonicalHost): { readonly address: string; readonly fresh: boolean } {
    const known = this.#byName.get(host.text);
    if (known !== undefined) {
      this.#byName.delete(host.text);
      this.#byName.set(host.text, known);
      return { address: text(known.slot), fresh: false };
    }
    if (this.#byName.size >= CAPACITY) this.#forgetOldest();
    // walks the whole network before a slot is used again, so that an address a client still caches does not soon mean another name
    while (this.#bySlot.has(this.#next)) this.#advance();
    const slot = this.#next;
    this.#advance();
    this.#byName.set(host.text, { host, slot });
    this.#bySlot.set(slot, host);
    return { address: text(slot), fresh: true };
  }

  /** The name behind a synthetic address; undefined for any other address. */
  nameOf(address: string): CanonicalHost | undefined {
    const parts = address.split(".").map(Number);
    const [a = 0, b = 0, c = 0, d = 0] = parts;
    if (parts.length !== 4 || a !== 198 || (b & 0xfe) !== 18) return undefined;
    const host = this.#bySlot.get(((b & 1) << 16) | (c << 8) | d);
    const known = host === undefined ? undefined : this.#byName.get(host.text);
    if (host !== undefined && known !== undefined) {
      this.#byName.delete(host.text);
      this.#byName.set(host.text, known);
    }
    return host;
  }

  #forgetOldest(): void {
    const oldest = this.#byName.entries().next();
    if (oldest.done) return;
    this.#byName.delete(oldest.value[0]);
    this.#bySlot.delete(oldest.value[1].slot);
  }

  #advance(): void {
    // the first and last address look like network and broadcast addresses to some clients
    this.#next = this.#next >= SIZE - 2 ? 1 : this.#next + 1;
  }
}

function text(slot: number): string {
  const address = (BASE | slot) >>> 0;
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}
