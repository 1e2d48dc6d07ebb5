import { describe, expect, it } from 'vitest';
import type { JobView, PageView } from '$lib/api/shapes';
import { cellsOf, headline, pageCounts, resultOf, runningWords, theJob, timeLeft, worksOn } from './words';

const page = (number: number, state: PageView['state'], merged = 0): PageView => ({
  number,
  state,
  records: 50_000,
  merged,
});

function job(change: Partial<JobView>): JobView {
  return {
    id: '1',
    object: 'PricebookEntry',
    kind: 'backfill',
    state: 'running',
    stage: 'loading',
    bulkJobId: null,
    startedBy: 'm.lindqvist',
    holder: null,
    startedAt: '2026-11-12T14:31:28Z',
    endedAt: null,
    total: 1_204_118,
    done: 742_880,
    rate: 32_900,
    leftMs: 14_020,
    tookMs: 24_000,
    pages: [page(1, 'merged', 50_000), page(2, 'merging', 25_000), page(3, 'waiting')],
    rows: { new: 0, newer: 0, equal: 0, older: 0, rejected: 0, removed: 0 },
    apiCalls: 19,
    memoryBytes: null,
    samples: [],
    problem: null,
    removalsWaiting: 0,
    ...change,
  };
}

describe('a job in words', () => {
  it('says done of total', () => {
    expect(headline(job({}))).toBe('PricebookEntry, 742,880 of 1,204,118 records');
    expect(headline(job({ total: null, done: 0 }))).toBe('PricebookEntry');
  });

  it('is called by what it does', () => {
    const catchUp = job({ kind: 'catchUp', object: 'Account', done: 12 });
    expect(headline(catchUp)).toBe('Account, catch-up: 12 records read');
    expect(theJob(catchUp)).toBe('the catch-up of Account');
    expect(runningWords([catchUp])).toBe('Catch-up runs');
    expect(runningWords([catchUp, job({})])).toBe('2 jobs run');
    expect(worksOn([job({}), catchUp])).toBe('loads PricebookEntry, catches up Account');
  });

  it('says time left, and estimates while there is no rate', () => {
    expect(timeLeft(job({}))).toBe('14 s left');
    expect(timeLeft(job({ leftMs: null }))).toBe('estimating');
    expect(timeLeft(job({ leftMs: 80 }))).toBe('1.0 s left');
  });

  it('names where it was stopped, and what a whole load came to', () => {
    expect(resultOf(job({ state: 'cancelled' }))).toBe('cancelled after page 1');
    const rows = job({}).rows;
    expect(resultOf(job({ state: 'done', rows: { ...rows, new: 8_400, newer: 9, rejected: 3 } }))).toBe(
      '8,409 written, 3 rejected',
    );
    expect(resultOf(job({ state: 'done', rows: { ...rows, equal: 8_412 } }))).toBe(
      'all equal, nothing written',
    );
  });

  it('shows each page as a cell, and counts them by state', () => {
    expect(cellsOf(job({}))[1]).toEqual({ state: 'merging', share: 0.5 });
    expect(pageCounts(job({}))).toEqual([
      ['merged', 1],
      ['merging', 1],
      ['waiting', 1],
    ]);
  });
});
