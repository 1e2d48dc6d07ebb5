import { describe, expect, it } from 'vitest';
import { Resource } from './resource.svelte';

/** An engine whose answers are given by hand. */
function byHand<T>() {
  const waiting: { answer: (value: T) => void; fail: (thrown: unknown) => void }[] = [];
  const ask = () => new Promise<T>((answer, fail) => waiting.push({ answer, fail }));
  return { ask, waiting };
}

describe('a resource', () => {
  it('loads, then is ready', async () => {
    const { ask, waiting } = byHand<number>();
    const resource = new Resource(ask);
    expect(resource.look).toBe('loading');
    const loaded = resource.load();
    waiting[0]?.answer(8412);
    await loaded;
    expect(resource.look).toBe('ready');
    expect(resource.data).toBe(8412);
  });

  it('keeps its data, marked stale, when asking again fails', async () => {
    const { ask, waiting } = byHand<number>();
    const resource = new Resource(ask);
    const first = resource.load();
    waiting[0]?.answer(1);
    await first;
    const second = resource.load();
    waiting[1]?.fail({ code: 'SS-3001', title: 'The database does not answer' });
    await second;
    expect(resource.look).toBe('stale');
    expect(resource.data).toBe(1);
    expect(resource.problem?.code).toBe('SS-3001');
  });

  it('asks once more, not five times more, when it went stale five times while asking', async () => {
    const { ask, waiting } = byHand<number>();
    const resource = new Resource(ask);
    const loaded = resource.load();
    for (let n = 0; n < 5; n += 1) void resource.load();
    waiting[0]?.answer(1);
    await Promise.resolve();
    await Promise.resolve();
    expect(waiting).toHaveLength(2);
    waiting[1]?.answer(2);
    await loaded;
    expect(resource.data).toBe(2);
    expect(waiting).toHaveLength(2);
  });

  it('lets whoever asks while it is asking wait for the last answer', async () => {
    const { ask, waiting } = byHand<number>();
    const resource = new Resource(ask);
    void resource.load();
    const second = resource.load().then(() => resource.data);
    waiting[0]?.answer(1);
    await Promise.resolve();
    await Promise.resolve();
    waiting[1]?.answer(2);
    expect(await second).toBe(2);
  });

  it('drops an answer of the environment that was open before', async () => {
    const { ask, waiting } = byHand<string>();
    const resource = new Resource(ask);
    const loaded = resource.load();
    resource.forget();
    waiting[0]?.answer('staging');
    await Promise.resolve();
    await Promise.resolve();
    expect(resource.data).toBeUndefined();
    waiting[1]?.answer('production');
    await loaded;
    expect(resource.data).toBe('production');
  });

  it('turns anything thrown into a problem that can be shown', async () => {
    const resource = new Resource(() => Promise.reject(new Error('broken pipe')));
    await resource.load();
    expect(resource.look).toBe('failed');
    expect(resource.problem?.details).toContain('broken pipe');
  });
});
