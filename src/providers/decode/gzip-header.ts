const MAGIC = [0x1f, 0x8b, 0x08];
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

/** Skips one gzip member header (RFC 1952 §2.3) in pieces of any size. */
export class GzipHeader {
  #at = 0;
  #flags = 0;
  #extra = 0;
  #step: "fixed" | "extra-length" | "extra" | "name" | "comment" | "crc" | "done" = "fixed";

  /** Bytes used and whether the header is over; null when this is no gzip. */
  read(bytes: Buffer): { readonly used: number; readonly done: boolean } | null {
    let i = 0;
    while (i < bytes.length && this.#step !== "done") {
      const byte = bytes[i] ?? 0;
      i += 1;
      if (!this.#take(byte)) return null;
    }
    return { used: i, done: this.#step === "done" };
  }

  #take(byte: number): boolean {
    switch (this.#step) {
      case "fixed":
        if (this.#at < 3 && byte !== MAGIC[this.#at]) return false;
        if (this.#at === 3) this.#flags = byte;
        this.#at += 1;
        if (this.#at === 10) this.#next("fixed");
        return true;
      case "extra-length":
        this.#extra |= byte << (8 * this.#at);
        this.#at += 1;
        if (this.#at === 2) this.#next(this.#extra === 0 ? "extra" : "extra-length");
        return true;
      case "extra":
        this.#extra -= 1;
        if (this.#extra === 0) this.#next("extra");
        return true;
      case "name":
      case "comment":
        if (byte === 0) this.#next(this.#step);
        return true;
      case "crc":
        this.#at += 1;
        if (this.#at === 2) this.#next("crc");
        return true;
      case "done":
        return true;
      default:
        return this.#step satisfies never;
    }
  }

  /** Goes to the part after `from` that the flags announce. */
  #next(from: "fixed" | "extra-length" | "extra" | "name" | "comment" | "crc"): void {
    this.#at = 0;
    switch (from) {
      case "fixed":
        if ((this.#flags & FEXTRA) !== 0) return this.#go("extra-length");
        return this.#next("extra");
      case "extra-length":
        return this.#go("extra");
      case "extra":
        return (this.#flags & FNAME) !== 0 ? this.#go("name") : this.#next("name");
      case "name":
        return (this.#flags & FCOMMENT) !== 0 ? this.#go("comment") : this.#next("comment");
      case "comment":
        return (this.#flags & FHCRC) !== 0 ? this.#go("crc") : this.#next("crc");
      case "crc":
        return this.#go("done");
      default:
        return from satisfies never;
    }
  }

  #go(step: "extra-length" | "extra" | "name" | "comment" | "crc" | "done"): void {
    this.#step = step;
  }
}
