import { describe, expect, it } from 'vitest';
import type { CacheState, EnvironmentKind, FlushScope, FlushView } from '$lib/api/shapes';
import type { Console } from './console.svelte';
import { Flushes } from './flushes.svelte';

/** As much of the window as flushes need, on a cache played by hand. */
function world(kind: EnvironmentKind = 'staging', state: CacheState = 'ok') {
  const started: [FlushScope, string | null][] = [];
  const previewed: FlushScope[] = [];
  const listed: FlushView[] = [];
  const failed: string[] = [];
  let refusal: unknown;
  const flush = (id: string, change: Partial<FlushView> = {}): FlushView => ({
    id,
    kind: 'catalog',
    scope: 'the catalogue',
    state: 'running',
    seen: 0,
    deleted: 0,
    startedAt: '2026-11-12T14:00:00Z',
    endedAt: null,
    by: 'a.okafor',
    problem: null,
    ...change,
  });
  const app = {
    environment: { name: 'halden', kind },
    status: { data: { environment: {}, database: { state: 'ready' } } },
    cache: { data: { state } },
    flushes: { data: listed, load: async () => undefined },
    act: async (words: string, run: () => Promise<unknown>) => {
      try {
        await run();
        return true;
      } catch {
        failed.push(words);
        return false;
      }
    },
    api: {
      startFlush: async (scope: FlushScope, confirm: string | null) => {
        started.push([scope, confirm]);
        if (refusal) throw refusal;
        return flush(`f${started.length}`);
      },
      stopFlush: async () => undefined,
      previewFlush: async (scope: FlushScope) => {
        previewed.push(scope);
        return { scope, keys: 3 };
      },
    },
  };
  const flushes = new Flushes(app as unknown as Console);
  return {
    app,
    flushes,
    flush,
    started,
    previewed,
    listed,
    failed,
    refuse: (thrown: unknown) => (refusal = thrown),
  };
}

describe('flushes by hand', () => {
  it('start with one click outside production', async () => {
    for (const kind of ['demo', 'development', 'staging'] as const) {
      const { flushes, started } = world(kind);
      await flushes.run({ kind: 'catalog' });
      expect(started).toEqual([[{ kind: 'catalog' }, null]]);
      expect(flushes.planning).toBeUndefined();
      expect(flushes.lines.map((line) => [line.id, line.state])).toEqual([['f1', 'running']]);
    }
  });

  it('show their plan first in production, and for a pattern that matches everything', async () => {
    const production = world('production');
    await production.flushes.run({ kind: 'sku', sku: 'FBR-500-H' });
    expect(production.started).toEqual([]);
    expect(production.flushes.planning).toEqual({
      scope: { kind: 'sku', sku: 'FBR-500-H' },
      isPreview: false,
    });
    const demo = world('demo');
    await demo.flushes.run({ kind: 'pattern', pattern: '*' });
    expect(demo.started).toEqual([]);
    expect(demo.flushes.planning?.isPreview).toBe(false);
  });

  it('delete nothing by being looked at', () => {
    const { flushes, started } = world();
    flushes.preview({ kind: 'eligibility' });
    expect(flushes.planning).toEqual({ scope: { kind: 'eligibility' }, isPreview: true });
    expect(started).toEqual([]);
  });

  it('keep the line of result of this window until it is closed, and show what others run', async () => {
    const { flushes, listed, flush } = world();
    listed.push(flush('theirs', { state: 'done' }));
    const mine = await flushes.start({ kind: 'catalog' }, null);
    listed.unshift(flush('f1', { state: 'done', deleted: 7 }), flush('other'));
    expect(mine?.id).toBe('f1');
    expect(flushes.lines.map((line) => line.id)).toEqual(['f1', 'other']);
    expect(flushes.find('f1')?.deleted).toBe(7);
    flushes.closeEnded();
    expect(flushes.lines.map((line) => line.id)).toEqual(['other']);
  });

  it('say what was refused and leave no line', async () => {
    const { flushes, failed, refuse } = world();
    refuse(new Error('refused'));
    expect(await flushes.start({ kind: 'catalog' }, null)).toBeUndefined();
    expect(failed).toEqual(['Flush the catalogue']);
    expect(flushes.lines).toEqual([]);
    expect(flushes.isBusy({ kind: 'catalog' })).toBe(false);
  });

  it('show their plan where the engine asks for the name that nobody typed', async () => {
    const { flushes, failed, refuse } = world();
    refuse({ code: 'SS-8023', title: 'The environment’s name is missing' });
    await flushes.run({ kind: 'pattern', pattern: '*?*' });
    expect([failed, flushes.lines]).toEqual([[], []]);
    expect(flushes.planning).toEqual({ scope: { kind: 'pattern', pattern: '*?*' }, isPreview: false });
    await flushes.start({ kind: 'catalog' }, 'wrong');
    expect(failed).toEqual(['Flush the catalogue']);
  });

  it('are hindered without a cache, and say why', () => {
    expect(world('staging', 'none').flushes.hindered()).toBe('No cache in this environment');
    expect(world('staging', 'down').flushes.hindered()).toBe('The cache does not answer');
    expect(world('staging', 'denied').flushes.hindered()).toBe(false);
    expect(world().flushes.hindered()).toBe(false);
  });
});

describe('keys of templates', () => {
  it('are counted by their patterns, one after the other', async () => {
    const { flushes, previewed } = world();
    await flushes.count(['catalog:product:{sku}', 'eligibility:*']);
    expect(previewed).toEqual([
      { kind: 'pattern', pattern: 'catalog:product:*' },
      { kind: 'pattern', pattern: 'eligibility:*' },
    ]);
    expect(flushes.countOf('catalog:product:{sku}')?.plan?.keys).toBe(3);
    expect(flushes.countOf('catalog:price:{product_id}')).toBeUndefined();
  });

  it('are those of the open environment only', async () => {
    const { app, flushes } = world();
    await flushes.count(['eligibility:*']);
    app.environment = { name: 'other', kind: 'staging' };
    expect(flushes.countOf('eligibility:*')).toBeUndefined();
    await flushes.count(['catalog:*']);
    expect(flushes.countOf('catalog:*')?.plan?.keys).toBe(3);
    app.environment = { name: 'halden', kind: 'staging' };
    expect(flushes.countOf('eligibility:*')).toBeUndefined();
  });
});
