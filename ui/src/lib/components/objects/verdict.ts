import type { FlagView, StatusView } from '$lib/api/shapes';
import { LATE_S } from '$lib/components/cache/words';
import type { Verdict } from '$lib/components/ui/Mark.svelte';
import { healthOf, isFailing, lagNow } from './live';

/** The mark before the sentence of the overview: never calmer than the sentence. */
export function overviewVerdict(
  status: StatusView,
  flags: FlagView[],
  now: number,
): Verdict | 'fails' | 'busy' | 'late' | 'paused' {
  if (status.problems.length > 0 || status.database.state === 'failed') return 'fails';
  if (status.database.state === 'starting') return 'busy';
  if (status.stream?.state === 'paused') return 'paused';
  const healths = status.objects.map((object) => healthOf(object, lagNow(object, status.at, now)));
  if (healths.some(isFailing)) return 'fails';
  if (healths.includes('differs')) return 'differs';
  if (healths.includes('backfilling') || healths.includes('catchingUp')) return 'busy';
  if (healths.includes('late')) return 'late';
  const isLoaded = (health: string) => health === 'countsAgree' || health === 'live';
  if (healths.length === 0 || !healths.every(isLoaded)) return 'unknown';
  return hindrance(status, flags) ?? 'unverified';
}

/** What keeps changes from readers although every table is right. */
function hindrance({ stream, cache }: StatusView, flags: FlagView[]): 'late' | 'paused' | undefined {
  if (flags.some((flag) => flag.name === 'event-consumer' && !flag.isOn) || cache?.heldBy) return 'paused';
  if ((stream && !stream.worker) || (cache?.oldestMs ?? 0) > LATE_S * 1000) return 'late';
  return undefined;
}
