import { describe, expect, it } from 'vitest';
import type { DeadLetterGroup, EventRow } from '$lib/api/shapes';
import { outcomeWords, recordsWords, retryPlan, toneOf } from './words';

const row = (change: Partial<EventRow>) =>
  ({ outcome: 'applied', why: null, records: 1, recordId: '01t', ...change }) as EventRow;

describe('a row of the change log', () => {
  it('says what was done with it, and why', () => {
    expect(outcomeWords(row({}))).toBe('applied');
    expect(outcomeWords(row({ outcome: 'skipped', why: 'older' }))).toBe('older, skipped');
    expect(outcomeWords(row({ outcome: 'rejected', why: 'no-sku' }))).toBe('rejected: no SKU');
    expect(outcomeWords(row({ outcome: 'dirty', why: 'gap' }))).toBe('fetched whole: gap');
    expect(outcomeWords(row({ outcome: null }))).toBe('waits');
  });

  it('is coloured only where somebody should look', () => {
    expect(
      (['applied', 'skipped', 'rejected', 'dead-letter', null] as const).map((outcome) => toneOf(outcome)),
    ).toEqual(['quiet', 'plain', 'attention', 'fails', 'plain']);
  });

  it('names its record, or says how many', () => {
    expect(recordsWords(row({}))).toBe('');
    expect(recordsWords(row({ recordId: null }))).toBe('records not named');
    expect(recordsWords(row({ records: 3 }))).toBe('and 2 more');
  });
});

describe('the plan of a retry', () => {
  const letter = (recordId: string | null) => ({ object: 'Product2', recordId });
  const group = (letters: unknown[], total = letters.length) => ({ letters, total }) as DeadLetterGroup;

  it('fetches each record once, 2,000 a call', () => {
    expect(retryPlan(group([letter('a'), letter('b'), letter('a')]))).toEqual({ records: 2, apiCalls: 1 });
    expect(retryPlan(group([letter('a')], 4_100))).toEqual({ records: 4_100, apiCalls: 3 });
  });
});
