/** How far training is, on one line of a terminal. */

export interface TrainingState {
  readonly step: number;
  readonly steps: number;
  /** Nats. */
  readonly loss: number;
  /** Of the last evaluation, if there was one. */
  readonly evaluationLoss?: number | undefined;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

const BAR_LENGTH = 20;

/** At most 100 columns for up to a million steps. */
export function trainingLine(state: TrainingState): string {
  const { step, steps, loss, evaluationLoss, tokensPerSecond, secondsLeft } = state;
  const filled = Math.floor((BAR_LENGTH * step) / steps);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_LENGTH - filled);
  const evaluation = evaluationLoss === undefined ? '' : `  eval ${evaluationLoss.toFixed(4)}`;
  const speed = `${shortCount(tokensPerSecond)} tokens/s`;
  return `${bar} ${step}/${steps}  loss ${loss.toFixed(4)}${evaluation}  ${speed}  ${clockTime(secondsLeft)} left`;
}

/** 950, 12.3k, 4.5M */
function shortCount(count: number): string {
  if (count < 1000) return String(Math.round(count));
  return count < 999_950 ? `${(count / 1000).toFixed(1)}k` : `${(count / 1e6).toFixed(1)}M`;
}

/** 0:07, 12:34, 1:02:03 */
export function clockTime(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  const rest = two(whole % 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}
