import { describe, expect, it } from 'vitest';
import type { StreamView, WorkerView } from '$lib/api/shapes';
import { isOnlyWorker, streamWords, workerDoes } from './stream';

const now = Date.parse('2026-11-12T14:32:06Z');
const stream = (change: Partial<StreamView>) =>
  ({ state: 'live', heardAt: '2026-11-12T14:32:02Z', worker: null, ...change }) as StreamView;

describe('the stream in the status bar', () => {
  it('says when it was heard', () => {
    expect(streamWords(stream({}), now)).toEqual({ text: 'Stream heard 4 s ago', tone: 'plain' });
  });

  it('takes a silent stream for a dead one, though it calls itself live', () => {
    expect(streamWords(stream({ heardAt: '2026-11-12T14:26:00Z' }), now)?.tone).toBe('fails');
  });

  it('says nothing of an environment that has no stream yet', () => {
    expect(streamWords(null, now)).toBeUndefined();
  });

  it('is red only where it failed', () => {
    const tones = (['connecting', 'paused', 'backoff', 'polling', 'stopped', 'failed'] as const).map(
      (state) => streamWords(stream({ state }), now)?.tone,
    );
    expect(tones).toEqual(['plain', 'plain', 'attention', 'attention', 'attention', 'fails']);
  });
});

describe('who is at work', () => {
  const worker = (change: Partial<WorkerView>) =>
    ({ isThis: true, role: 'leader', streaming: true, ...change }) as WorkerView;

  it('warns of quitting only where nobody else could go on', () => {
    expect(isOnlyWorker([worker({})])).toBe(true);
    expect(isOnlyWorker([worker({}), worker({ isThis: false })])).toBe(false);
    expect(isOnlyWorker([])).toBe(false);
  });

  it('tells who streams from who stands by', () => {
    expect(workerDoes(worker({}))).toBe('streams, applies');
    expect(workerDoes(worker({ role: 'standby', streaming: false }))).toBe('stands by');
  });
});
