import type { CacheView, FlushScope, FlushView, RulesView } from '$lib/api/shapes';
import { counted, formatCount } from '$lib/format/count';
import { formatAge, formatDuration } from '$lib/format/duration';
import { formatAgo } from '$lib/format/time';

/** What a flush is of, as it stands in a sentence: `the catalogue`, `SKU FBR-500-H`. */
export function scopeWords(scope: FlushScope): string {
  switch (scope.kind) {
    case 'all':
      return 'everything of ours';
    case 'catalog':
      return 'the catalogue';
    case 'eligibility':
      return 'eligibility';
    case 'sku':
      return `SKU ${scope.sku}`;
    case 'account':
      return `account ${scope.id}`;
    case 'pattern':
      return `pattern ${scope.pattern}`;
  }
}

/** How a flush goes, or what came of it. */
export function flushLine(flush: FlushView, now: number): string {
  const of = flush.scope;
  const keys = counted(flush.deleted, 'key');
  switch (flush.state) {
    case 'running':
      return `Flushing ${of}: ${keys} deleted, ${formatDuration(now - Date.parse(flush.startedAt))}`;
    case 'done':
      return `Flushed ${of}: ${keys} deleted in ${formatDuration(tookMs(flush) ?? 0)}`;
    case 'stopped':
      return `Stopped the flush of ${of} after ${keys}; what is left stays cached`;
    case 'failed':
      return `The flush of ${of} failed after ${keys}`;
  }
}

export function tookMs(flush: FlushView): number | null {
  return flush.endedAt === null ? null : Date.parse(flush.endedAt) - Date.parse(flush.startedAt);
}

/** The pattern that finds every key that a template can make: `catalog:product:{sku}` becomes `catalog:product:*`. */
export function patternOf(template: string): string {
  return template.replace(/\{[^}]*\}/g, '*').replace(/\*+/g, '*');
}

/** Whether a pattern would match every key there is. */
export function isEverything(pattern: string): boolean {
  return /^\*+$/.test(pattern.trim());
}

/** What is wrong with an account id; nothing while it is empty or right. */
export function wrongId(id: string): string | undefined {
  return id === '' || /^[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?$/.test(id)
    ? undefined
    : 'A record id has 15 or 18 letters and digits.';
}

/** What the servers hold together. */
export function held(cache: CacheView): { keys: number; bytes: number } {
  return cache.servers.reduce(
    (sum, server) => ({ keys: sum.keys + server.keys, bytes: sum.bytes + server.memoryBytes }),
    { keys: 0, bytes: 0 },
  );
}

const topologies = { single: '', sentinel: ', Sentinel', cluster: ', cluster' } as const;

/** The software and its shape: `Redis 7.4, cluster of 3`. */
export function serverWords(cache: CacheView): string {
  const version = cache.servers[0]?.version.split('.').slice(0, 2).join('.');
  const shape = cache.topology === null ? '' : topologies[cache.topology];
  const of = cache.topology === 'cluster' && cache.servers.length > 0 ? ` of ${cache.servers.length}` : '';
  return `Redis${version ? ` ${version}` : ''}${shape}${of}`;
}

export interface CacheStatement {
  verdict: 'fails' | 'late' | 'paused' | undefined;
  sentence: string;
  detail: string;
}

/** Orders that wait longer than this are worth a look: one pass and its second are done well before. */
export const LATE_S = 60;

/** The sentence that opens the page. */
export function cacheStatement(cache: CacheView, now: number): CacheStatement {
  const { waiting } = cache;
  const orders = counted(waiting.orders, 'invalidation');
  const oldest =
    waiting.oldestSeconds === null ? '' : `, the oldest for ${formatAge(waiting.oldestSeconds * 1000)}`;
  const wait =
    waiting.orders === 0 ? 'Nothing waits' : `${orders} ${waiting.orders === 1 ? 'waits' : 'wait'}${oldest}`;
  if (cache.state === 'down')
    return {
      verdict: 'fails',
      sentence: 'The cache does not answer.',
      detail: `${wait}. ${waiting.orders === 0 ? 'The keys of what changes meanwhile are deleted when it answers.' : 'Nothing is lost: they are delivered when it answers.'}`,
    };
  if (cache.state === 'denied')
    return {
      verdict: 'fails',
      sentence: 'The cache does not allow what a flush needs.',
      detail: `${wait}. Readers may see old values until it is allowed.`,
    };
  if (cache.heldBy)
    return {
      verdict: 'paused',
      sentence: 'Keys are not deleted.',
      detail: `${cache.heldBy.who} held that ${formatAgo(cache.heldBy.at, now)}. ${wait}.`,
    };
  if ((waiting.oldestSeconds ?? 0) > LATE_S)
    return {
      verdict: 'late',
      sentence: `${wait}.`,
      detail: 'Readers may see old values until they are delivered.',
    };
  const again =
    cache.secondPass === 0 ? '' : ` ${formatCount(cache.secondPass)} to be deleted a second time.`;
  const isWaiting = waiting.orders > 0;
  const where = `${serverWords(cache)} at ${cache.address ?? 'an unknown address'}.`;
  return {
    verdict: undefined,
    sentence: isWaiting
      ? `The keys of ${counted(waiting.orders, 'change')} are being deleted.`
      : 'Every change has flushed its keys.',
    detail: `${isWaiting ? `The oldest waits for ${formatAge((waiting.oldestSeconds ?? 0) * 1000)}` : 'Nothing waits'}.${again} ${where}`,
  };
}

/** Templates and patterns of all objects, each once, with the objects whose changes delete it. */
export function keyFamilies(rules: RulesView[]): { template: string; objects: string[] }[] {
  const found = new Map<string, string[]>();
  for (const rule of rules) {
    for (const template of rule.templates) found.set(template, [...(found.get(template) ?? []), rule.object]);
  }
  return [...found].map(([template, objects]) => ({ template, objects }));
}

/** What the changes of an object delete now. */
export function rulesWords(rule: RulesView): string {
  if (rule.patterns.length === 0 && rule.templates.length === 0) return 'nothing: no rule names a key';
  if (rule.isComplete) return 'the keys of its templates, at once';
  if (rule.templates.length === 0) return 'every key under its patterns';
  return 'the keys of its templates at once, then every key under its patterns';
}

/** Columns that templates name and that are not there. */
export function unknownColumns(templates: string[], columns: string[]): string[] {
  const named = templates.flatMap((template) =>
    [...template.matchAll(/\{([^}]*)\}/g)].map((found) => found[1] ?? ''),
  );
  return [...new Set(named)].filter((column) => !columns.includes(column));
}

export interface Words {
  text: string;
  tone: 'plain' | 'attention' | 'fails';
}

/** What waits, in few words: `nothing waits`, `12 wait`, `held, 57 wait`, `does not answer, 340 wait`. */
export function waitWords(cache: CacheView): Words {
  const { orders, oldestSeconds } = cache.waiting;
  const wait = orders === 0 ? 'nothing waits' : `${formatCount(orders)} ${orders === 1 ? 'waits' : 'wait'}`;
  if (cache.state === 'down') return { text: `does not answer, ${wait}`, tone: 'fails' };
  if (cache.state === 'denied') return { text: `refuses commands, ${wait}`, tone: 'fails' };
  if (cache.heldBy) return { text: `held, ${wait}`, tone: 'attention' };
  return { text: wait, tone: (oldestSeconds ?? 0) > LATE_S ? 'attention' : 'plain' };
}

/** The cache in the status bar. `configured` is what the configuration names, before the cache was asked. */
export function statusWords(cache: CacheView | undefined, configured: string | null): Words {
  if (!cache) return { text: configured ? 'Redis' : 'No cache', tone: 'plain' };
  if (cache.state === 'none') return { text: 'No cache', tone: 'plain' };
  if (cache.state === 'down') return { text: 'Cache does not answer', tone: 'fails' };
  const { text, tone } = waitWords(cache);
  if (cache.state === 'denied') return { text: `Cache ${text}`, tone };
  const name = serverWords({ ...cache, topology: null });
  return tone === 'plain' ? { text: name, tone } : { text: `${name}, ${text}`, tone };
}
