/** Values as an operator reads them; always with their unit. */

const NONE = '–';

export function formatNumber(value: number | null, digits = 2): string {
  if (value === null || !Number.isFinite(value)) return NONE;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function formatDelta(delta: number): string {
  if (delta === 0) return '0';
  const [mantissa, exponent] = delta.toExponential(1).split('e') as [string, string];
  const superscript = exponent
    .replace('+', '')
    .replace(/[-0-9]/g, (digit) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(digit)]);
  return `${mantissa.replace('.0', '')} × 10${superscript}`.replace(/^1 × /, '');
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = bytes < 1_000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${(bytes / 1_000 ** step).toLocaleString('en', { maximumFractionDigits: step === 0 ? 0 : 1 })} ${units[step]}`;
}

export function formatDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 10_000) return `${(durationMs / 1_000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

/** `4:07`, for a clock that runs down. */
export function formatCountdown(leftMs: number): string {
  const seconds = Math.max(0, Math.ceil(leftMs / 1_000));
  const twoDigits = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  const tail = twoDigits(seconds % 60);
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${tail}` : `${minutes}:${tail}`;
}

export function formatAgo(at: number, now: number): string {
  const agoMs = now - at;
  if (agoMs < 5_000) return 'just now';
  if (agoMs < 60_000) return `${Math.floor(agoMs / 1_000)} s ago`;
  if (agoMs < 3_600_000) return `${Math.floor(agoMs / 60_000)} min ago`;
  if (agoMs < 48 * 3_600_000) return `${Math.floor(agoMs / 3_600_000)} h ago`;
  return `${Math.floor(agoMs / 86_400_000)} days ago`;
}

/** Like `formatAgo`, for what is still to come. */
export function formatIn(at: number, now: number): string {
  const inMs = at - now;
  if (inMs < 60_000) return `in ${Math.max(1, Math.round(inMs / 1_000))} s`;
  if (inMs < 3_600_000) return `in ${Math.round(inMs / 60_000)} min`;
  if (inMs < 48 * 3_600_000) return `in ${Math.round(inMs / 3_600_000)} h`;
  return `in ${Math.round(inMs / 86_400_000)} days`;
}

export function formatTime(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

export function shorten(hex: string, digits = 10): string {
  return hex.length > digits ? hex.slice(0, digits) : hex;
}

/** `1 round`, `2 rounds`. */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString('en')} ${noun}${value === 1 ? '' : 's'}`;
}
