import { networkInterfaces } from "node:os";

/** ms that this machine's addresses are taken for what they were: the system call takes longer than the rest of a policy */
const ADDRESSES_MS = 500;
let addresses: { readonly readAt: number; readonly list: readonly string[] } | undefined;

/** This machine's addresses, at most half a second old. */
export function ownAddresses(): readonly string[] {
  const now = performance.now();
  if (addresses === undefined || now - addresses.readAt > ADDRESSES_MS) addresses = { readAt: now, list: readOwnAddresses() };
  return addresses.list;
}

/** Tells whether the addresses are others than when it was asked before. */
export class AddressWatch {
  readonly #read: () => readonly string[];
  #seen: string;

  constructor(read: () => readonly string[] = ownAddresses) {
    this.#read = read;
    this.#seen = this.#now();
  }

  hasChanged(): boolean {
    const now = this.#now();
    if (now === this.#seen) return false;
    this.#seen = now;
    return true;
  }

  #now(): string {
    return [...new Set(this.#read())].toSorted().join(" ");
  }
}

function readOwnAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address.replace(/%.*$/, "")));
}
