/** Flat list of name, value, name, value …, in the sender's order and case, latin1. */
export type HeaderList = readonly string[];
