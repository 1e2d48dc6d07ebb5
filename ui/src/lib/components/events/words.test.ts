import { describe, expect, it } from 'vitest';
import type { DeadLetterView, EventRow } from '$lib/api/shapes';
import { closingPlan, outcomeWords, recordsWords, toneOf } from './words';

const row = (change: Partial<EventRow>) =>
  ({
    outcome: 'applied',
    why: null,
    records: 1,
    recordId: '01t',
    recordName: null,
    ...change,
  }) as EventRow;

describe('a row of the change log', () => {
  it('says what was done with it, and why', () => {
    expect(outcomeWords(row({}))).toBe('applied');
    expect(outcomeWords(row({ outcome: 'skipped', why: 'The row was as new already' }))).toBe('skipped');
    const rejected = row({ outcome: 'rejected', why: 'The record cannot be stored: no-sku' });
    expect(outcomeWords(rejected)).toBe('rejected: no SKU');
    const dirty = row({
      outcome: 'dirty',
      why: 'The record is fetched whole (it was read at the same time)',
    });
    expect(outcomeWords(dirty)).toBe('fetched whole: it was read at the same time');
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
    expect(recordsWords(row({ recordName: 'Fiber 500' }))).toBe('Fiber 500');
    expect(recordsWords(row({ recordName: 'Fiber 500', records: 3 }))).toBe('Fiber 500 and 2 more');
    expect(recordsWords(row({ records: 3 }))).toBe('and 2 more');
  });
});

describe('what closing dead letters comes to', () => {
  const letter = (object: string | null, recordId: string | null) => ({ object, recordId }) as DeadLetterView;

  it('is each record once, 2,000 of an object a call', () => {
    const two = [letter('Product2', 'a'), letter('Product2', 'b'), letter('Product2', 'a')];
    expect(closingPlan(two)).toEqual({ records: 2, apiCalls: 1 });
    expect(closingPlan([...two, letter('Account', 'a')])).toEqual({ records: 3, apiCalls: 2 });
    const many = Array.from({ length: 2_001 }, (_, n) => letter('Product2', String(n)));
    expect(closingPlan(many)).toEqual({ records: 2_001, apiCalls: 2 });
  });

  it('is nothing to fetch where a letter names no record', () => {
    expect(closingPlan([letter(null, null)])).toEqual({ records: 0, apiCalls: 0 });
  });
});
