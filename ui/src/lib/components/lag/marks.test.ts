import { describe, expect, it } from 'vitest';
import type { LagMark } from '$lib/api/shapes';
import { placeMarks } from './marks';

const mark = (at: number, change: Partial<LagMark> = {}): LagMark => ({
  at: new Date(at).toISOString(),
  kind: 'catchUp',
  text: 'Catch-up',
  agrees: null,
  ...change,
});

describe('the lane of marks', () => {
  it('places marks by their time, and leaves out those beside the span', () => {
    expect(placeMarks([mark(500), mark(-1), mark(1_001)], 0, 1_000).map((one) => one.share)).toEqual([0.5]);
  });

  it('puts marks that would lie on each other under one sign, with the words of all', () => {
    const [first, second, ...others] = placeMarks([mark(500), mark(505), mark(600)], 0, 1_000);
    expect(first?.words).toHaveLength(2);
    expect(second?.words).toHaveLength(1);
    expect(others).toHaveLength(0);
  });

  it('never hides a difference under another sign', () => {
    const differs = mark(505, { kind: 'verification', agrees: false });
    expect(placeMarks([mark(500), differs], 0, 1_000)[0]).toMatchObject({
      kind: 'verification',
      agrees: false,
    });
  });
});
