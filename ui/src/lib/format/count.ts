import { locale } from './locale';

const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });

/** A whole number with the reader's grouping: `412,306`. */
export function formatCount(count: number): string {
  return whole.format(count);
}

/** A number and its noun: `1 record`, `3 records`, `0 records`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** A difference with its sign: `+ 24`, `− 37`, `0`. */
export function formatDifference(difference: number): string {
  if (difference === 0) return '0';
  return `${difference > 0 ? '+' : '\u2212'} ${formatCount(Math.abs(difference))}`;
}

/** A share of a whole as a percentage, rounded down, so that 100 % is said only when all is done. */
export function formatShare(done: number, total: number): string {
  return `${Math.floor(share(done, total) * 100)} %`;
}

/** `done / total` between 0 and 1; 0 where nothing is known of the total. */
export function share(done: number, total: number | null | undefined): number {
  if (!total) return 0;
  return Math.min(1, Math.max(0, done / total));
}

/** Records a second: `32,900/s`. */
export function formatRate(recordsPerSecond: number): string {
  return `${formatCount(recordsPerSecond)}/s`;
}
