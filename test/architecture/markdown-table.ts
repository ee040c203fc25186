/** Tables of Markdown. */

export function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return [heads, heads.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Text that stands in a table's cell and means itself, but for code between backticks. Variables of the environment become code. */
export function cell(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/(?<!`)\b[A-Z]+(?:_[A-Z]+)+\b(?!`)/g, '`$&`')
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replaceAll(/[*_<>[\]]/g, '\\$&')))
    .join('')
    .replaceAll('|', '\\|');
}
