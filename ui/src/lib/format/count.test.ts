import { describe, expect, it } from 'vitest';
import { counted, formatCount, formatDifference, formatShare, share } from './count';

describe('counts', () => {
  it('are grouped as the reader writes numbers', () => {
    expect(formatCount(1204118)).toBe('1,204,118');
  });

  it('carry their noun in the right number, and zero is said', () => {
    expect(counted(1, 'record')).toBe('1 record');
    expect(counted(0, 'record')).toBe('0 records');
    expect(counted(3, 'entry', 'entries')).toBe('3 entries');
  });

  it('show differences with a sign', () => {
    expect(formatDifference(24)).toBe('+ 24');
    expect(formatDifference(-1037)).toBe('\u2212 1,037');
    expect(formatDifference(0)).toBe('0');
  });

  it('never say 100 % before the last record', () => {
    expect(formatShare(1204117, 1204118)).toBe('99 %');
    expect(formatShare(1204118, 1204118)).toBe('100 %');
  });

  it('know no share of an unknown total', () => {
    expect(share(5, null)).toBe(0);
    expect(share(5, 0)).toBe(0);
    expect(share(7, 5)).toBe(1);
  });
});
