/** Logging as business code sees it: a constant event name, dotted and in the past tense, and facts in fields. */

/** Plain values; never tokens, keys, shares, or anything of one participant's update. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** A log that binds fields such as `runId`, so that they are not typed again. */
  child(fields: LogFields): Log;
}
