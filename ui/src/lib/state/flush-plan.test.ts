import { describe, expect, it } from 'vitest';
import type { FlushPlan } from '$lib/api/shapes';
import { CountedPlan, FRESH_MS } from './flush-plan.svelte';

const plan = (change: Partial<FlushPlan> = {}): FlushPlan => ({
  scope: { kind: 'catalog' },
  patterns: ['catalog:*'],
  keys: 18_204,
  examples: [],
  bytes: 1,
  bytesExact: true,
  needsName: false,
  stopped: false,
  tookMs: 10,
  ...change,
});

describe('the plan of a flush', () => {
  it('counts, is ready, and is outdated after a minute until it is counted again', async () => {
    const now = 1_000_000;
    const counted = new CountedPlan(
      { kind: 'catalog' },
      async () => plan(),
      () => now,
    );
    expect(counted.look).toBe('counting');
    await counted.count();
    expect(counted.look).toBe('ready');
    counted.countedAt = now - FRESH_MS;
    expect(counted.look).toBe('ready');
    counted.countedAt -= 1;
    expect(counted.look).toBe('outdated');
    await counted.count();
    expect(counted.look).toBe('ready');
  });

  it('keeps what it was refused, and counts again', async () => {
    let fails = true;
    const counted = new CountedPlan(
      { kind: 'pattern', pattern: '' },
      async () => {
        if (fails) throw { code: 'SS-6010', title: 'The pattern is empty' };
        return plan();
      },
      () => 0,
    );
    await counted.count();
    expect([counted.look, counted.problem?.code]).toEqual(['failed', 'SS-6010']);
    fails = false;
    await counted.count();
    expect([counted.look, counted.problem]).toEqual(['ready', undefined]);
  });

  it('asks for the name as the engine says, and in production before it said so', async () => {
    const counted = new CountedPlan(
      { kind: 'pattern', pattern: '*' },
      async () => plan({ needsName: true }),
      () => 0,
    );
    expect(counted.needsName(true)).toBe(true);
    expect(counted.needsName(false)).toBe(false);
    await counted.count();
    expect(counted.needsName(false)).toBe(true);
  });
});
