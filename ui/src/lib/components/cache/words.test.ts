import { describe, expect, it } from 'vitest';
import type { CacheView, FlushView, RulesView } from '$lib/api/shapes';
import {
  cacheStatement,
  flushLine,
  isEverything,
  keyFamilies,
  patternOf,
  rulesWords,
  serverWords,
  statusWords,
  unknownColumns,
  waitWords,
  wrongId,
} from './words';

const now = Date.parse('2026-11-12T14:00:00Z');

const cache = (change: Partial<CacheView> = {}): CacheView => ({
  state: 'ok',
  problem: null,
  address: 'redis://cache:6379',
  topology: 'single',
  servers: [{ address: 'cache:6379', version: '7.4.1', keys: 10, memoryBytes: 1_000, startedAt: null }],
  heldBy: null,
  worker: null,
  waiting: { orders: 0, oldestSeconds: null },
  secondPass: 0,
  failed: { orders: 0, problem: null },
  rules: [],
  seenAt: null,
  ...change,
});

const rule = (change: Partial<RulesView> = {}): RulesView => ({
  object: 'Product2',
  table: 'sf_product_shadow',
  patterns: ['catalog:*'],
  templates: ['catalog:product:{sku}'],
  isComplete: false,
  completeBy: null,
  completeAt: null,
  columns: ['sku'],
  ...change,
});

const flush = (change: Partial<FlushView> = {}): FlushView => ({
  id: '1',
  kind: 'catalog',
  scope: 'the catalogue',
  state: 'running',
  seen: 20_000,
  deleted: 18_204,
  startedAt: '2026-11-12T13:59:58.600Z',
  endedAt: null,
  by: 'a.okafor',
  problem: null,
  ...change,
});

describe('the sentence of the cache', () => {
  it('says that nothing waits, on which cache', () => {
    expect(cacheStatement(cache(), now)).toEqual({
      verdict: undefined,
      sentence: 'Every change has flushed its keys.',
      detail: 'Nothing waits. Redis 7.4 at redis://cache:6379.',
    });
  });

  it('does not call a pass that is under way late, but says what waits too long', () => {
    const waits = (oldestSeconds: number) =>
      cacheStatement(cache({ waiting: { orders: 12, oldestSeconds } }), now);
    expect(waits(3).verdict).toBeUndefined();
    expect(waits(3).sentence).toBe('The keys of 12 changes are being deleted.');
    expect(waits(3).detail).toBe('The oldest waits for 3 s. Redis 7.4 at redis://cache:6379.');
    expect(waits(190).verdict).toBe('late');
    expect(waits(190).sentence).toBe('12 invalidations wait, the oldest for 3 min.');
  });

  it('says before anything else that the cache is away, or refuses', () => {
    const waiting = { orders: 1, oldestSeconds: 252 };
    const heldBy = { who: 'a.okafor', at: '2026-11-12T13:00:00Z' };
    const down = cacheStatement(cache({ state: 'down', servers: [], waiting, heldBy }), now);
    expect([down.verdict, down.sentence]).toEqual(['fails', 'The cache does not answer.']);
    expect(down.detail).toBe(
      '1 invalidation waits, the oldest for 4 min. Nothing is lost: they are delivered when it answers.',
    );
    expect(cacheStatement(cache({ state: 'denied', waiting }), now).verdict).toBe('fails');
    const held = cacheStatement(cache({ waiting, heldBy }), now);
    expect([held.verdict, held.detail]).toEqual([
      'paused',
      'a.okafor held that 1 h ago. 1 invalidation waits, the oldest for 4 min.',
    ]);
  });
});

describe('the cache in few words', () => {
  it('names its version while all is well, and what waits when not', () => {
    expect(statusWords(cache(), 'redis://cache:6379')).toEqual({ text: 'Redis 7.4', tone: 'plain' });
    expect(statusWords(cache({ state: 'none' }), null).text).toBe('No cache');
    expect(statusWords(undefined, 'redis://cache:6379').text).toBe('Redis');
    expect(statusWords(cache({ state: 'down' }), null)).toEqual({
      text: 'Cache does not answer',
      tone: 'fails',
    });
    const heldBy = { who: 'a.okafor', at: '2026-11-12T13:00:00Z' };
    const waiting = { orders: 57, oldestSeconds: 4 };
    expect(statusWords(cache({ heldBy, waiting }), null)).toEqual({
      text: 'Redis 7.4, held, 57 wait',
      tone: 'attention',
    });
    expect(waitWords(cache({ waiting: { orders: 1, oldestSeconds: 2 } })).text).toBe('1 waits');
  });

  it('tells a cluster with its masters', () => {
    const server = cache().servers[0];
    const servers = server ? [server, server, server] : [];
    expect(serverWords(cache({ topology: 'cluster', servers }))).toBe('Redis 7.4, cluster of 3');
    expect(serverWords(cache({ topology: 'sentinel' }))).toBe('Redis 7.4, Sentinel');
  });
});

describe('a flush', () => {
  it('counts while it deletes and ends in a line of result', () => {
    expect(flushLine(flush(), now)).toBe('Flushing the catalogue: 18,204 keys deleted, 1.4 s');
    const endedAt = '2026-11-12T14:00:00Z';
    expect(flushLine(flush({ state: 'done', endedAt }), now)).toBe(
      'Flushed the catalogue: 18,204 keys deleted in 1.4 s',
    );
    expect(
      flushLine(flush({ state: 'stopped', endedAt, deleted: 1, kind: 'pattern', scope: 'pattern a:*' }), now),
    ).toBe('Stopped the flush of pattern a:* after 1 key; what is left stays cached');
    expect(flushLine(flush({ state: 'failed', endedAt, deleted: 0 }), now)).toBe(
      'The flush of the catalogue failed after 0 keys',
    );
  });
});

describe('templates and patterns', () => {
  it('finds what a template can make by one pattern', () => {
    expect(patternOf('catalog:product:{sku}')).toBe('catalog:product:*');
    expect(patternOf('price:{product_id}:{parent.sku}')).toBe('price:*:*');
    expect(patternOf('{a}{b}')).toBe('*');
    expect(patternOf('catalog:*')).toBe('catalog:*');
  });

  it('knows a pattern that matches everything', () => {
    expect(['*', ' ** '].every(isEverything)).toBe(true);
    expect(['', 'catalog:*', '*:*'].some(isEverything)).toBe(false);
  });

  it('shows a template of several objects once', () => {
    const rules = [rule(), rule({ object: 'PricebookEntry' })];
    expect(keyFamilies(rules)).toEqual([
      { template: 'catalog:product:{sku}', objects: ['Product2', 'PricebookEntry'] },
    ]);
  });

  it('says what a change deletes: patterns until the templates are complete', () => {
    expect(rulesWords(rule())).toBe('the keys of its templates at once, then every key under its patterns');
    expect(rulesWords(rule({ isComplete: true }))).toBe('the keys of its templates, at once');
    expect(rulesWords(rule({ templates: [] }))).toBe('every key under its patterns');
    expect(rulesWords(rule({ templates: [], patterns: [] }))).toContain('nothing');
  });

  it('names columns that are not there', () => {
    expect(unknownColumns(['a:{sku}', 'b:{skuu}:{parent.sku}', 'c:{skuu}'], ['sku'])).toEqual([
      'skuu',
      'parent.sku',
    ]);
  });

  it('refuses what is no record id, and nothing while it is empty', () => {
    expect(wrongId('')).toBeUndefined();
    expect(wrongId('0017Y00001aKq2b')).toBeUndefined();
    expect(wrongId('0017Y00001aKq2bQAC')).toBeUndefined();
    expect(wrongId('0017Y00001aKq2bQ')).toBeDefined();
    expect(wrongId("0017Y00001aKq2'")).toBeDefined();
  });
});
