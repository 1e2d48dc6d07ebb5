import { describe, expect, it } from 'vitest';
import type { ObjectStatus, StreamView } from '$lib/api/shapes';
import { healthChecks } from './checks';

const now = Date.parse('2026-11-12T14:32:06Z');
const stream = { state: 'live' } as StreamView;

function tones(change: Partial<ObjectStatus>, heard: StreamView | null = stream) {
  const status = {
    object: 'Product2',
    heardAt: '2026-11-12T14:32:02Z',
    isConfirmed: true,
    comparedAt: null,
    holes: 0,
    backlogEvents: 0,
    backlogAgeMs: null,
    dirty: 0,
    deadLetters: 0,
    job: null,
    loadedAt: '2026-11-12T10:00:00Z',
    count: { unexplained: 0, salesforceAt: '2026-11-12T14:05:00Z' },
    ...change,
  } as ObjectStatus;
  return Object.fromEntries(healthChecks(status, heard, now).map((check) => [check.name, check.tone]));
}

describe('the named checks', () => {
  it('hold while a stream is heard, nothing is missed and nothing waits', () => {
    expect(tones({})).toMatchObject({ Heard: 'holds', Stored: 'holds', Applied: 'holds', Counted: 'holds' });
  });

  it('never claim a verification that was not made', () => {
    expect(tones({ comparedAt: '2026-11-12T02:30:00Z' }).Verified).toBe('unknown');
  });

  it('say when the stream does not speak for the object', () => {
    expect(tones({ isConfirmed: false }).Heard).toBe('look');
  });

  it('fail for a stream that is silent, a hole, a dead letter', () => {
    expect(tones({ heardAt: '2026-11-12T14:20:00Z' }).Heard).toBe('mend');
    expect(tones({ holes: 1 }).Stored).toBe('mend');
    expect(tones({ deadLetters: 2 }).Applied).toBe('mend');
  });

  it('take a short backlog for normal and an old one for a failure', () => {
    expect(tones({ backlogEvents: 40, backlogAgeMs: 900 }).Applied).toBe('holds');
    expect(tones({ backlogEvents: 40, backlogAgeMs: 400_000 }).Applied).toBe('mend');
    expect(tones({ dirty: 3 }).Applied).toBe('look');
  });

  it('are unknown, not green, without a stream', () => {
    expect(tones({}, null)).toMatchObject({ Heard: 'unknown', Stored: 'unknown', Applied: 'unknown' });
  });
});
