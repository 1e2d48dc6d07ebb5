import { describe, expect, it } from 'vitest';
import { matching, pieces, type Entry } from './palette';

const entry = (group: Entry['group'], text: string): Entry => ({
  group,
  text,
  note: '',
  icon: undefined as never,
  run: () => undefined,
});

const entries = [
  entry('Acts', 'Plan a backfill…'),
  entry('Acts', 'Count now'),
  entry('Go to', 'Overview'),
  entry('Go to', 'Verify'),
  entry('Environments', 'Switch to halden-verify'),
];

describe('the palette', () => {
  it('offers everything while nothing is sought', () => {
    expect(matching(entries, '  ')).toHaveLength(5);
  });

  it('finds every word, whatever their order and case, and keeps the groups together', () => {
    expect(matching(entries, 'BACK plan').map((found) => found.text)).toEqual(['Plan a backfill…']);
    expect(matching(entries, 'ver').map((found) => found.text)).toEqual([
      'Verify',
      'Overview',
      'Switch to halden-verify',
    ]);
  });

  it('marks what matched', () => {
    expect(pieces('Verify', 'ver')).toEqual([
      { text: 'Ver', isMatch: true },
      { text: 'ify', isMatch: false },
    ]);
    expect(pieces('Overview', '')).toEqual([{ text: 'Overview', isMatch: false }]);
  });
});
