/** The cache of a scene: what it holds, what waits, and flushes that move on. */
import type {
  CacheView,
  FlushPlan,
  FlushScope,
  FlushView,
  KeyExample,
  Probe,
  Problem,
  RulesView,
  TriedKeys,
} from '../shapes';
import { scopeWords } from '$lib/components/cache/words';
import { at } from './clock';
import { cacheDenied, cacheDown, emptyPattern, nameMissing } from './problems';
import type { Scene } from './scene';

/** How the cache of a scene stands. */
export type CacheCourse = 'ok' | 'none' | 'down' | 'denied' | 'waiting' | 'held';

export interface FakeCache {
  course: CacheCourse;
  rules: RulesView[];
  flushes: FlushView[];
  /** Keys under each beginning. */
  keys: Map<string, number>;
}

const families: [string, number, number][] = [
  ['catalog:product:', 8_390, 2_288],
  ['catalog:price:', 9_814, 7_836],
  ['eligibility:', 381_077, 161],
];

const samples: KeyExample[] = [
  { key: 'catalog:product:FBR-500-H', bytes: 2_104, expiresInMs: 41 * 60_000 },
  { key: 'catalog:product:FBR-1000-H', bytes: 2_296, expiresInMs: 12 * 60_000 },
  { key: 'catalog:price:01t7Y00000TiCm0QAF', bytes: 8_712, expiresInMs: 58 * 60_000 },
  { key: 'catalog:price:01t7Y000000hBJAQA2', bytes: 6_448, expiresInMs: 3 * 60_000 },
  { key: 'catalog:product:VPN-SC-EUW', bytes: 1_912, expiresInMs: null },
  { key: 'eligibility:0017Y00001aKq2bQAC', bytes: 161, expiresInMs: 14 * 60_000 },
  { key: 'eligibility:0017Y00001aKq7rQAC', bytes: 158, expiresInMs: 9 * 60_000 },
];

const rules = (): RulesView[] => [
  {
    object: 'Product2',
    table: 'sf_product_shadow',
    patterns: ['catalog:*'],
    templates: ['catalog:product:{sku}'],
    isComplete: false,
    completeBy: null,
    completeAt: null,
    columns: ['product_id', 'sku', 'name', 'item_class', 'offering_type', 'plan_tier', 'vpn_region'],
  },
  {
    object: 'PricebookEntry',
    table: 'sf_pricebook_shadow',
    patterns: ['catalog:*'],
    templates: ['catalog:price:{product_id}'],
    isComplete: false,
    completeBy: null,
    completeAt: null,
    columns: [
      'pricebook_entry_id',
      'product_id',
      'pricebook_id',
      'currency_iso_code',
      'is_active',
      'parent.sku',
    ],
  },
  {
    object: 'Account',
    table: 'sf_account_eligibility_shadow',
    patterns: ['eligibility:*'],
    templates: ['eligibility:{account_id}'],
    isComplete: true,
    completeBy: 'a.okafor@halden.example',
    completeAt: at(3 * 86_400),
    columns: ['account_id', 'internet_eligibility', 'eligibility_source'],
  },
];

function flush(
  id: string,
  secondsAgo: number,
  by: string,
  kind: FlushScope['kind'],
  scope: string,
  deleted: number,
  tookMs: number,
  change: Partial<FlushView> = {},
): FlushView {
  return {
    id,
    kind,
    scope,
    state: 'done',
    seen: deleted,
    deleted,
    startedAt: at(secondsAgo),
    endedAt: at(secondsAgo - tookMs / 1000),
    by,
    problem: null,
    ...change,
  };
}

const past = (): FlushView[] => [
  flush('f7', 11_500, 'a.okafor@halden.example', 'sku', 'SKU FBR-1000-H', 1, 12),
  flush('f6', 79_000, 'a.okafor@halden.example', 'eligibility', 'eligibility', 386_120, 3_100),
  flush('f5', 79_300, 'a.okafor@halden.example', 'pattern', 'pattern eligibility:*', 41_200, 900, {
    state: 'stopped',
    seen: 43_008,
  }),
  flush('f4', 96_000, 'e.haugen@halden.example', 'catalog', 'the catalogue', 18_197, 1_400),
  flush('f3', 180_000, 'e.haugen@halden.example', 'catalog', 'the catalogue', 0, 2_000, {
    state: 'failed',
    problem: cacheDown,
  }),
];

/** The cache that a scene begins with. */
export function cacheOf(name: string): FakeCache {
  const courses: Record<string, CacheCourse> = {
    'no-cache': 'none',
    demo: 'none',
    empty: 'none',
    'first-run': 'none',
    'cache-down': 'down',
    'cache-denied': 'denied',
    'cache-waiting': 'waiting',
    'cache-held': 'held',
  };
  const cache: FakeCache = {
    course: courses[name] ?? 'ok',
    rules: rules(),
    flushes: name === 'cache-new' ? [] : past(),
    keys: new Map(families.map(([start, keys]) => [start, keys])),
  };
  if (name === 'cache-flushing') {
    cache.flushes.unshift(
      flush('f8', 1.2, 'm.lindqvist@halden.example', 'catalog', 'the catalogue', 11_264, 0, {
        state: 'running',
        seen: 12_288,
        endedAt: null,
      }),
    );
  }
  return cache;
}

/** The address that the configuration names. */
export const addressOf = (cache: FakeCache) =>
  cache.course === 'none' ? null : 'redis-cluster://cache-1:6379';

export function view(scene: Scene): CacheView {
  const { course, rules, keys } = scene.cache;
  const total = [...keys.values()].reduce((sum, count) => sum + count, 0);
  const isThere = course !== 'none' && course !== 'down';
  const waits = { ok: 0, none: 0, denied: 12, down: 340, waiting: 12, held: 57 }[course];
  const ages = { ok: null, none: null, denied: 190, down: 252, waiting: 3, held: 1_340 }[course];
  const problem = course === 'down' ? cacheDown : course === 'denied' ? cacheDenied : null;
  return {
    state: course === 'none' ? 'none' : course === 'down' ? 'down' : course === 'denied' ? 'denied' : 'ok',
    problem,
    address: addressOf(scene.cache),
    topology: course === 'none' ? null : 'cluster',
    servers: isThere
      ? [1, 2, 3].map((n) => ({
          address: `cache-${n}:6379`,
          version: '7.4.1',
          keys: Math.round(total / 3),
          memoryBytes: 137_400_000,
          startedAt: at(40 * 86_400),
        }))
      : [],
    worker: course === 'none' ? null : 'this console',
    heldBy: course === 'held' ? { who: 'a.okafor@halden.example', at: at(1_340) } : null,
    waiting: { orders: waits, oldestSeconds: ages },
    secondPass: course === 'ok' || course === 'waiting' ? 2 : 0,
    failed: { orders: problem ? waits : 0, problem },
    rules: course === 'none' ? [] : rules,
    seenAt: course === 'none' ? null : at(course === 'down' ? 252 : 1),
  };
}

/** The pattern that a scope stands for. */
function patternOf(scope: FlushScope): string[] {
  switch (scope.kind) {
    case 'all':
      return ['catalog:*', 'eligibility:*'];
    case 'catalog':
      return ['catalog:*'];
    case 'eligibility':
      return ['eligibility:*'];
    case 'sku':
      return [`catalog:product:${scope.sku}`];
    case 'account':
      return [`eligibility:${scope.id}`];
    case 'pattern':
      return [scope.pattern];
  }
}

const matches = (pattern: string, key: string) => key.startsWith(pattern.replace(/\*.*$/, ''));

function refuse(scene: Scene, patterns: string[]): void {
  if (patterns.includes('')) throw emptyPattern;
  const { course } = scene.cache;
  if (course === 'down') throw cacheDown;
  if (course === 'denied' && patterns.some((pattern) => pattern.includes('*'))) throw cacheDenied;
}

export function plan(scene: Scene, scope: FlushScope): FlushPlan {
  const patterns = patternOf(scope);
  refuse(scene, patterns);
  const isOne = patterns.every((pattern) => !pattern.includes('*'));
  const hit = families.filter(([start]) =>
    patterns.some((pattern) => matches(pattern, start) || start.startsWith(pattern.replace(/\*.*$/, ''))),
  );
  const keys = isOne ? 1 : hit.reduce((sum, [start]) => sum + (scene.cache.keys.get(start) ?? 0), 0);
  const bytes = isOne
    ? 2_104
    : hit.reduce((sum, [start, , size]) => sum + (scene.cache.keys.get(start) ?? 0) * size, 0);
  const isProduction = scene.environments.some((one) => one.isOpen && one.kind === 'production');
  return {
    scope,
    patterns,
    keys,
    examples:
      keys > 0 ? samples.filter(({ key }) => patterns.some((one) => matches(one, key))).slice(0, 5) : [],
    bytes,
    bytesExact: isOne,
    needsName: (isProduction && !isOne) || patterns.includes('*'),
    stopped: false,
    tookMs: isOne ? 2 : 1_380,
  };
}

export function start(scene: Scene, scope: FlushScope, confirm: string | null): FlushView {
  const planned = plan(scene, scope);
  const name = scene.environments.find((one) => one.isOpen)?.name ?? null;
  if (planned.needsName && confirm !== name) throw nameMissing;
  const started = flush(
    `f${Date.now()}`,
    0,
    'm.lindqvist@halden.example',
    scope.kind,
    scopeWords(scope),
    0,
    0,
    { state: 'running', endedAt: null, startedAt: new Date().toISOString() },
  );
  scene.cache.flushes = [started, ...scene.cache.flushes];
  return started;
}

function isUnder({ kind, scope }: FlushView, start: string): boolean {
  if (kind === 'all') return true;
  if (kind === 'pattern') return matches(scope.replace(/^pattern /, ''), start);
  return start.startsWith(kind);
}

/** Moves running flushes on by one tick; answers whether there were any. */
export function advance(scene: Scene): boolean {
  if (scene.name === 'cache-flushing' || !scene.cache.flushes.some((one) => one.state === 'running'))
    return false;
  scene.cache.flushes = scene.cache.flushes.map((one) => {
    if (one.state !== 'running') return one;
    const isOne = one.kind === 'sku' || one.kind === 'account';
    const under = families.map(([start]) => start).filter((start) => isUnder(one, start));
    const left = isOne ? 1 : under.reduce((sum, start) => sum + (scene.cache.keys.get(start) ?? 0), 0);
    const step = Math.min(left, isOne ? 1 : 5_120);
    let rest = step;
    for (const start of isOne ? [] : under) {
      const taken = Math.min(rest, scene.cache.keys.get(start) ?? 0);
      scene.cache.keys.set(start, (scene.cache.keys.get(start) ?? 0) - taken);
      rest -= taken;
    }
    const isDone = step === left;
    return {
      ...one,
      seen: one.seen + step,
      deleted: one.deleted + step,
      ...(isDone ? { state: 'done' as const, endedAt: new Date().toISOString() } : {}),
    };
  });
  return true;
}

export function stop(scene: Scene, id: string): void {
  scene.cache.flushes = scene.cache.flushes.map((one) =>
    one.id === id && one.state === 'running'
      ? { ...one, state: 'stopped' as const, endedAt: new Date().toISOString() }
      : one,
  );
}

export function hold(scene: Scene, isHeld: boolean): void {
  scene.cache.course = isHeld ? 'held' : 'ok';
}

export function setRules(scene: Scene, object: string, change: Partial<RulesView>): void {
  scene.cache.rules = scene.cache.rules.map((one) => (one.object === object ? { ...one, ...change } : one));
}

const refusal = (title: string, cause: string): Problem => ({
  ...emptyPattern,
  code: 'SS-6012',
  title,
  cause,
});

export function tryKeys(scene: Scene, object: string, record: string): TriedKeys[] {
  const found = scene.cache.rules.find((one) => one.object === object);
  if (!/^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$/.test(record)) {
    throw refusal('This is not a record id', 'A record id has 15 or 18 letters and digits.');
  }
  const values: Record<string, string> = { sku: 'FBR-500-H', product_id: record, account_id: record };
  return (found?.templates ?? []).map((template) => {
    const key = template.replace(/\{(\w+)\}/g, (_, column: string) => values[column] ?? '');
    return { template, keys: [{ key, exists: scene.cache.course !== 'down' }], problem: null };
  });
}

export function probe(scene: Scene): Probe {
  refuse(scene, ['*']);
  const catalog =
    (scene.cache.keys.get('catalog:product:') ?? 0) + (scene.cache.keys.get('catalog:price:') ?? 0);
  const eligibility = scene.cache.keys.get('eligibility:') ?? 0;
  return {
    seen: catalog + eligibility,
    unknown: Math.min(catalog, 214),
    examples: ['catalog:menu:de', 'catalog:menu:en', 'catalog:search:fiber', 'catalog:search:vpn'],
    perPattern: [
      { pattern: 'catalog:*', seen: catalog, unknown: Math.min(catalog, 214) },
      { pattern: 'eligibility:*', seen: eligibility, unknown: 0 },
    ],
    stopped: false,
    tookMs: 1_410,
  };
}
