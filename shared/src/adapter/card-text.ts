/** What cards of adapters have in common. */

/** Text of operators inside a table or code: without what would end it. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n|`"<>]+/g, ' ').trim();
}
