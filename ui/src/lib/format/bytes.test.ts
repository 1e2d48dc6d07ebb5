import { expect, it } from 'vitest';
import { formatBytes } from './bytes';

it.each([
  [0, '0 B'],
  [512, '512 B'],
  [2100, '2.1 kB'],
  [96_100_000, '96.1 MB'],
  [118_400_000, '118 MB'],
])('%i bytes read %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
