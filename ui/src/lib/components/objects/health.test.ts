import { describe, expect, it } from 'vitest';
import type { CountView } from '$lib/api/shapes';
import { verdictOf } from './health';

const now = Date.parse('2026-11-12T14:32:00Z');

function count(change: Partial<CountView>): CountView {
  return {
    object: 'Product2',
    table: 'sf_product_shadow',
    salesforce: 8412,
    salesforceAt: '2026-11-12T14:05:00Z',
    shadow: 8409,
    shadowAt: '2026-11-12T14:05:00Z',
    rejected: 3,
    unexplained: 0,
    tookMs: 12,
    problem: null,
    ...change,
  };
}

describe('the mark between two counts', () => {
  it('is solid only for counts of the last day that leave nothing unexplained', () => {
    expect(verdictOf(count({}), now)).toBe('equal');
    expect(verdictOf(count({ salesforceAt: '2026-11-11T14:00:00Z' }), now)).toBe('unverified');
  });

  it('says differs, however old the count', () => {
    expect(verdictOf(count({ unexplained: 37 }), now)).toBe('differs');
    expect(verdictOf(count({ unexplained: -1, salesforceAt: '2026-11-01T00:00:00Z' }), now)).toBe('differs');
  });

  it('is unknown where one side was never counted: never green', () => {
    expect(verdictOf(count({ salesforce: null, salesforceAt: null, unexplained: null }), now)).toBe(
      'unknown',
    );
  });
});
