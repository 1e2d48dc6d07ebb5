import { describe, expect, it } from 'vitest';
import type { FlagView, ObjectStatus, StatusView } from '$lib/api/shapes';
import { overviewVerdict } from './verdict';

const at = '2026-11-12T14:32:00.000Z';
const now = Date.parse(at);
const object = (health: ObjectStatus['health']) =>
  ({ object: 'Product2', health, lagMs: 900 }) as ObjectStatus;
const status = (change: Partial<StatusView>) =>
  ({
    problems: [],
    database: { state: 'ready', server: '' },
    objects: [object('live')],
    stream: { state: 'live', worker: 'this console' },
    cache: { waiting: 0, oldestMs: null, heldBy: null },
    at,
    ...change,
  }) as StatusView;
const verdict = (change: Partial<StatusView>, flags: Partial<FlagView>[] = []) =>
  overviewVerdict(status(change), flags as FlagView[], now);

describe('the mark of the overview', () => {
  it('is that of the worst object', () => {
    expect(verdict({})).toBe('unverified');
    expect(verdict({ cache: null })).toBe('unverified');
    expect(verdict({ objects: [] })).toBe('unknown');
    expect(verdict({ objects: [object('live'), object('differs')] })).toBe('differs');
    expect(verdict({ objects: [object('catchingUp'), object('failing')] })).toBe('fails');
  });

  it('does not call equal what readers do not get', () => {
    const waits = (oldestMs: number) => ({ cache: { waiting: 12, oldestMs, heldBy: null } });
    expect(verdict(waits(3_000))).toBe('unverified');
    expect(verdict(waits(190_000))).toBe('late');
    expect(verdict({ cache: { waiting: 0, oldestMs: null, heldBy: 'a.okafor' } })).toBe('paused');
    expect(verdict({}, [{ name: 'event-consumer', isOn: false }])).toBe('paused');
    expect(verdict({ stream: { state: 'stopped', worker: null } as StatusView['stream'] })).toBe('late');
  });
});
