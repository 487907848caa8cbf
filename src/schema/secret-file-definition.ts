/** A token of a secret file and where it may go; without hosts it leaves in the body of a refresh alone. One token may have several. */
export type FileToken = {
  /** JSON pointer (RFC 6901) */
  readonly at: string;
  readonly hosts?: readonly string[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
};

/** How a client renews its tokens: a POST whose body carries the refresh token (RFC 6749 §6), answered with new ones. */
export type FileRefresh = {
  /** https, without a query */
  readonly url: string;
  /** member of the answer = pointer of the token that it replaces */
  readonly tokens: Readonly<Record<string, string>>;
  /** pointer of the ms since 1970 at which the access token ends, made from the answer's `expires_in` */
  readonly expiresAt?: string;
  /** pointer of the time of the last refresh, RFC 3339 */
  readonly refreshedAt?: string;
  /** pointer of what the access token is good for: a list, or one text with spaces */
  readonly scopes?: string;
  /** clients that logins of this kind are made with; absent: those that the file's own JWTs name, else any */
  readonly clientIds?: readonly string[];
  /** pointer of the client that this login was made with */
  readonly clientId?: string;
  /** names of members that a refresh may carry beside client and scope; others are left out */
  readonly parameters?: readonly string[];
};

/** A file with logins that a sandbox sees with placeholders in the place of its tokens. Holds no value. */
export type SecretFileDefinition = {
  readonly name: string;
  /** on the host, absolute */
  readonly path: string;
  /** inside, below the home directory: `.codex/auth.json` */
  readonly inside: string;
  readonly tokens: readonly FileToken[];
  /** pointers of strings that look like tokens, and are none */
  readonly keep: readonly string[];
  readonly refresh?: FileRefresh;
};
