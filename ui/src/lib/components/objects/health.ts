import type { CountView, ObjectHealth, ObjectStatus } from '$lib/api/shapes';
import type { Verdict } from '$lib/components/ui/Mark.svelte';

/**
 * What the mark between two counts may claim. Equal counts say nothing of what is in the records, so the mark is dashed:
 * solid and green is kept for what was verified record by record.
 */
export function verdictOf(count: CountView): Verdict {
  if (count.unexplained === null || !count.salesforceAt) return 'unknown';
  if (count.unexplained !== 0) return 'differs';
  return 'unverified';
}

export const healthWords: Record<ObjectHealth, string> = {
  notLoaded: 'Not loaded',
  backfilling: 'Backfilling',
  countsAgree: 'Counts agree',
  loaded: 'Loaded, not counted',
  differs: 'Differs',
  paused: 'Paused',
  failing: 'Failing',
};

/** One named check behind the health chip. */
export interface HealthCheck {
  name: string;
  tone: 'holds' | 'mend' | 'unknown';
  finding: string;
  /** The time it is of; formatted by who shows it. */
  at: string | null;
}

/** The checks that the health of an object is made of, in the order in which a load meets them. */
export function healthChecks(status: ObjectStatus): HealthCheck[] {
  const { count, job, loadedAt } = status;
  const loadFailed = job?.state === 'failed';
  const counted = count.unexplained !== null;
  return [
    {
      name: 'Loaded',
      tone: loadFailed ? 'mend' : loadedAt ? 'holds' : 'unknown',
      finding: loadFailed ? 'the last backfill failed' : loadedAt ? 'completely' : 'never',
      at: loadFailed ? job.endedAt : loadedAt,
    },
    {
      name: 'Counted',
      tone: !counted ? 'unknown' : count.unexplained === 0 ? 'holds' : 'mend',
      finding: !counted
        ? 'not yet'
        : count.unexplained === 0
          ? 'nothing unexplained'
          : `${count.unexplained} unexplained`,
      at: count.salesforceAt,
    },
    { name: 'Verified record by record', tone: 'unknown', finding: 'not yet', at: null },
  ];
}
