import type { CountView } from '$lib/api/shapes';
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
