/** A planned run for people to read; at most 100 columns. */

import type { PrivacyUnit } from '@fedlora/protocol';
import { type MemoryForecast, type PlanProblem, type RunForecast, type RunPlanView } from '@fedlora/shared';

const COLUMNS = 100;
/** Points of the curve that are printed, the last one included. */
const POINTS = 10;
const BAR = 50;
const LABEL = 22;

export function planLines({ problems, plan }: RunPlanView): string[] {
  return [...problems.flatMap(problemLines), ...(plan === null ? [] : forecastLines(plan))];
}

function problemLines({ field, code, message, remedy, severity }: PlanProblem): string[] {
  const where = field === null ? '' : `${field}: `;
  return [
    ...wrapped(`${severity === 'error' ? 'Wrong' : 'Advice'}: ${where}${message}`, '  '),
    ...wrapped(`  ${remedy} [${code}]`, '  '),
    '',
  ];
}

function forecastLines(plan: RunForecast): string[] {
  const { manifest, members, noise, caps } = plan;
  const { privacy, rounds } = manifest;
  const lines = [
    ...fact('Run', `${manifest.title}, ${rounds} rounds, base model ${manifest.base.name}`),
    ...fact('Organisations', `${members.length}: ${members.join(', ')}`),
    ...fact(
      'Threshold',
      `${plan.threshold} in every phase, ${plan.minimumContributors} contributions to a sum; a round survives ${plan.dropoutsSurvived} dropouts`,
    ),
    ...fact(
      'Sent per organisation',
      `${byteText(plan.bytesUpPerRound)} a round, ${byteText(plan.bytesUpInAll)} in all, besides small messages`,
    ),
    ...fact(
      'Noise',
      noise === null
        ? noSumNoise(privacy.unit)
        : `${number(noise.perCoordinate)} of the clip per value; noise to signal at least ${number(noise.leastNoiseToSignal)}`,
    ),
    ...fact('Memory of a client', memoryText(plan.memory)),
    ...fact('Privacy', privacy.unit === 'none' ? 'no promise at all' : `unit ${privacy.unit}, delta ${privacy.delta}`),
  ];
  for (const cap of caps) {
    const fits = cap.rounds === null ? 'any number of rounds fits' : `${cap.rounds} rounds fit`;
    const needs =
      cap.noiseMultiplier === null
        ? 'no noise is enough'
        : `noiseMultiplier ${roundedUp(cap.noiseMultiplier)} is enough`;
    lines.push(...fact(`Epsilon ${cap.epsilon}`, `${fits}; for all ${rounds}, ${needs}`));
  }
  for (const { name, epsilonCap, spentEpsilon, rounds: left } of plan.organisations) {
    const spent = spentEpsilon === null ? 'more than can be counted' : number(spentEpsilon);
    const fits = left === null ? 'any number of rounds is left' : `${left} rounds are left`;
    lines.push(...fact(`Budget of ${name}`, `${fits}: it declares a cap of ${epsilonCap}, of which ${spent} is spent`));
  }
  for (const { noiseMultiplier, curve } of plan.otherNoise) {
    const end = curve.at(-1)?.epsilon ?? null;
    lines.push(
      ...fact(
        `Noise ${number(noiseMultiplier)}`,
        `would spend epsilon ${end === null ? 'beyond counting' : number(end)} in all ${rounds} rounds`,
      ),
    );
  }
  return [...lines, ...curveLines(plan)];
}

function noSumNoise(unit: PrivacyUnit): string {
  return unit === 'record-local' ? 'in each local step of an organisation; none is added to the sum' : 'none';
}

function memoryText({ totalBytes, leastBytes, parts, countsVocabulary, rowTokens }: MemoryForecast): string {
  const uncounted = countsVocabulary
    ? ''
    : '. base.shape.vocab_size is absent: embedding, head and logits are not counted';
  return (
    `${byteText(totalBytes)} with the base as NF4 and rows of ${rowTokens} tokens, slower from ${byteText(leastBytes)}: ` +
    `${parts.map(({ title, bytes }) => `${title} ${byteText(bytes)}`).join(', ')}${uncounted}`
  );
}

/** Some points of the curve, with bars as long as epsilon is large. */
function curveLines({ epsilonCurve }: RunForecast): string[] {
  if (epsilonCurve.length === 0) return [];
  const last = epsilonCurve.length - 1;
  const steps = Math.min(POINTS, last);
  const shown = Array.from({ length: steps }, (_, i) => epsilonCurve[Math.round(((i + 1) * last) / steps)]);
  const most = Math.max(...shown.map(({ epsilon }) => epsilon ?? 0));
  return [
    '',
    `${'rounds'.padStart(10)}  ${'epsilon'.padStart(10)}`,
    ...shown.map(({ rounds, epsilon }) => {
      const bar = epsilon === null || most === 0 ? '' : '#'.repeat(Math.round((epsilon / most) * BAR));
      const text = epsilon === null ? 'uncounted' : number(epsilon);
      return `${String(rounds).padStart(10)}  ${text.padStart(10)}  ${bar}`.trimEnd();
    }),
  ];
}

function fact(label: string, value: string): string[] {
  return wrapped(`${label.padEnd(LABEL)}  ${value}`, ' '.repeat(LABEL + 2));
}

/** Broken at spaces; what is longer than a line without a space stays whole. */
function wrapped(text: string, indent: string): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > COLUMNS) {
    const at = rest.lastIndexOf(' ', COLUMNS);
    if (at <= indent.length) break;
    lines.push(rest.slice(0, at));
    rest = indent + rest.slice(at + 1);
  }
  return [...lines, rest];
}

/** Three digits that count. */
function number(value: number): string {
  return value >= 1e6 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

/** To four decimal places, so that what is printed keeps the promise of what was found. */
function roundedUp(value: number): string {
  return String(Math.ceil(value * 1e4) / 1e4);
}

function byteText(bytes: number): string {
  if (bytes < 1e5) return `${number(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${number(bytes / 1e6)} MB` : `${number(bytes / 1e9)} GB`;
}
