import { locale } from './locale';

const tenths = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });

/** A size in decimal units: `512 B`, `2.1 kB`, `96.1 MB`, `118 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const number = unit === 0 || value >= 100 ? whole.format(value) : tenths.format(value);
  return `${number} ${units[unit]}`;
}
