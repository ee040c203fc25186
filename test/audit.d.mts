/** What npm's answer comes to: the lines to show, and whether a build must fail. */
export function judge(output: string): {
  readonly checked: boolean;
  readonly failing: boolean;
  readonly lines: readonly string[];
};
