/** Loads of the scripted engine: running, done, failed, and how a running one moves on. */
import type { JobView, PageView } from '../shapes';
import { at } from './clock';
import { sizes } from './org';
import { jobExpired } from './problems';

function job(object: string, change: Partial<JobView>): JobView {
  const total = sizes[object] ?? 1000;
  return {
    id: `job-${object}-${change.startedAt ?? 'now'}`,
    object,
    kind: 'backfill',
    state: 'done',
    stage: 'ended',
    bulkJobId: '7507Y00000QkB2cQAF',
    startedBy: 'm.lindqvist@halden.example',
    holder: null,
    startedAt: at(90),
    endedAt: at(49),
    total,
    done: total,
    rate: null,
    leftMs: null,
    tookMs: 41_000,
    pages: pagesOf(total, total),
    rows: { new: total, newer: 0, equal: 0, older: 0, rejected: 0, removed: 0 },
    apiCalls: 14,
    memoryBytes: null,
    samples: [],
    problem: null,
    removalsWaiting: 0,
    ...change,
  };
}

export const PAGE = 50_000;

function pagesOf(total: number, done: number): PageView[] {
  return Array.from({ length: Math.ceil(total / PAGE) }, (_, index) => {
    const records = Math.min(PAGE, total - index * PAGE);
    const merged = Math.max(0, Math.min(records, done - index * PAGE));
    const isNext = index === Math.floor(done / PAGE) + 1;
    const state = merged === records ? 'merged' : merged > 0 ? 'merging' : isNext ? 'downloading' : 'waiting';
    return { number: index + 1, state, records, merged };
  });
}

function samplesUntil(ms: number): JobView['samples'] {
  return Array.from({ length: Math.floor(ms / 400) }, (_, index) => {
    const dip = index === 30 ? 14_000 : 0;
    return {
      atMs: index * 400,
      rate: index < 5 ? 5_000 + index * 900 : 32_000 + ((index * 7919) % 3_800) - dip,
    };
  });
}

export function startedJob(object: string): JobView {
  return job(object, {
    id: `job-${object}-${Date.now()}`,
    state: 'running',
    stage: 'loading',
    holder: 'this console',
    startedAt: new Date().toISOString(),
    endedAt: null,
    done: 0,
    tookMs: 0,
    pages: pagesOf(sizes[object] ?? 1000, 0),
    rows: { new: 0, newer: 0, equal: 0, older: 0, rejected: 0, removed: 0 },
    apiCalls: 3,
    memoryBytes: 118_000_000,
  });
}

/** Moves a running job on by one tick. */
export function advance(running: JobView): JobView {
  const total = running.total ?? 1;
  const done = Math.min(total, running.done + 13_160);
  const tookMs = running.tookMs + 400;
  const next = { ...running, done, tookMs, rate: 32_900, leftMs: ((total - done) / 32_900) * 1000 };
  const ended = done === total;
  return {
    ...next,
    ...(ended ? { state: 'done' as const, stage: 'ended' as const, endedAt: new Date().toISOString() } : {}),
    pages: pagesOf(total, done),
    rows: { ...running.rows, new: done - 3, rejected: Math.min(3, done) },
    samples: samplesUntil(tookMs),
    apiCalls: 3 + Math.floor(done / PAGE),
  };
}

export function runningJob(): JobView {
  return job('PricebookEntry', {
    state: 'running',
    stage: 'loading',
    holder: 'this console',
    startedAt: at(24),
    endedAt: null,
    done: 742_880,
    rate: 32_900,
    leftMs: 14_020,
    tookMs: 24_000,
    pages: pagesOf(1_204_118, 742_880),
    rows: { new: 738_202, newer: 4_611, equal: 65, older: 0, rejected: 2, removed: 0 },
    apiCalls: 19,
    memoryBytes: 118_000_000,
    samples: samplesUntil(24_000),
  });
}

export const doneJobs = (): JobView[] => [
  job('Account', { startedAt: at(130), endedAt: at(89), tookMs: 41_000 }),
  job('Product2', {
    startedAt: at(140),
    endedAt: at(134),
    tookMs: 6_000,
    rows: { new: 8_409, newer: 0, equal: 0, older: 0, rejected: 3, removed: 0 },
  }),
  job('PricebookEntry', {
    state: 'cancelled',
    startedAt: at(80_000),
    endedAt: at(79_988),
    startedBy: 'e.haugen@halden.example',
    done: 350_000,
    tookMs: 12_000,
    pages: pagesOf(1_204_118, 350_000),
  }),
];

export function failedJob(): JobView {
  const pages = pagesOf(1_204_118, 742_880).map((page) =>
    page.number === 6 ? { ...page, state: 'failed' as const, merged: 0 } : page,
  );
  return {
    ...runningJob(),
    state: 'failed',
    rate: null,
    leftMs: null,
    endedAt: at(3),
    pages,
    problem: jobExpired,
  };
}

export const loadedJobs = () => [
  job('PricebookEntry', { startedAt: at(85), endedAt: at(49) }),
  ...doneJobs(),
];
