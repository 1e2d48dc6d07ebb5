import { describe, expect, it } from 'vitest';
import type { CountView } from '$lib/api/shapes';
import { verdictOf } from './health';

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
  it('is dashed for equal counts: they are no verification record by record', () => {
    expect(verdictOf(count({}))).toBe('unverified');
  });

  it('says differs, however old the count', () => {
    expect(verdictOf(count({ unexplained: 37 }))).toBe('differs');
    expect(verdictOf(count({ unexplained: -1, salesforceAt: '2026-11-01T00:00:00Z' }))).toBe('differs');
  });

  it('is unknown where one side was never counted: never green', () => {
    expect(verdictOf(count({ salesforce: null, salesforceAt: null, unexplained: null }))).toBe('unknown');
  });
});
