/** A plot as SVG text: one row a method, a dot at its mean and a bar over its spread. */

import type { MethodSummary } from './summary.js';

const WIDTH = 760;
const LEAST_LABELS = 290;
/** Of a letter in a label, on average with room to spare. */
const LETTER = 6.4;
const RIGHT = 70;
/** Of the largest loss without noise: what is beyond is not drawn to scale. */
const BEYOND = 1.2;
const ROW = 22;
const TOP = 44;

/** @param summaries at least one */
export function lossPlot(title: string, summaries: readonly MethodSummary[]): string {
  const largest = (some: readonly MethodSummary[]): number =>
    Math.max(...some.map(({ macroLoss }) => macroLoss.mean + macroLoss.stddev));
  const withoutNoise = summaries.filter(({ title: name }) => !name.includes('DP, epsilon'));
  // What noise has destroyed would press all others together: it is a ring at the edge.
  const most = Math.min(largest(summaries), withoutNoise.length > 0 ? BEYOND * largest(withoutNoise) : Infinity);
  const longest = Math.max(...summaries.map(({ title: name }) => name.length));
  const labels = Math.max(LEAST_LABELS, Math.ceil(longest * LETTER) + 12);
  const width = WIDTH - LEAST_LABELS + labels;
  const step = stepOf(most);
  const end = Math.ceil(most / step) * step;
  const at = (loss: number): string => (labels + Math.min(1, loss / end) * (width - labels - RIGHT)).toFixed(1);
  const bottom = TOP + summaries.length * ROW;
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, i) => i * step);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom + 24}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="8" y="20" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    ...ticks.flatMap((tick) => [
      `<line x1="${at(tick)}" x2="${at(tick)}" y1="${TOP - 8}" y2="${bottom}" stroke="#ddd"/>`,
      `<text x="${at(tick)}" y="${bottom + 16}" text-anchor="middle" fill="#555">${Number(tick.toFixed(2))}</text>`,
    ]),
    ...summaries.flatMap(({ title: name, macroLoss: { mean, stddev } }, i) => {
      const y = TOP + i * ROW + ROW / 2;
      const colour = colourOf(name);
      return [
        `<text x="8" y="${y + 4}">${escaped(name)}</text>`,
        `<line x1="${at(Math.max(0, mean - stddev))}" x2="${at(mean + stddev)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="3"/>`,
        `<circle cx="${at(mean)}" cy="${y}" r="5" fill="${mean > end ? '#fff' : colour}" stroke="${colour}"/>`,
        `<text x="${width - RIGHT + 12}" y="${y + 4}" fill="#555">${mean.toFixed(2)}</text>`,
      ];
    }),
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}

/** A round number, so that there are four to eight ticks. */
function stepOf(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return [0.2, 0.5, 1].map((part) => part * power).find((step) => most / step <= 8) ?? power;
}

/** With what promise, at a glance. */
function colourOf(title: string): string {
  if (title.includes('DP, epsilon')) return '#1864ab';
  return title.startsWith('federated') ? '#2b8a3e' : '#868e96';
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
}
