import type { HealthCheck } from '$lib/api/shapes';
import type { CheckTone } from '$lib/components/ui/CheckSign.svelte';
import { formatAgo } from '$lib/format/time';
import { LATE_MS } from './live';

/** One named check behind the health chip, as it is shown. */
export interface ShownCheck {
  name: string;
  tone: CheckTone;
  finding: string;
  /** What would be in order: `≤ 330 s`. */
  bar: string;
  /** The time it is of, where the finding does not say it. */
  at: string | null;
}

const tones = { good: 'holds', unknown: 'unknown', late: 'look', bad: 'mend' } as const;

/**
 * A check of the engine as it is now. What the engine says stands; only the age of what was heard goes on, so that a
 * stream that died with its process is silent here too.
 */
export function checkOf(check: HealthCheck, now: number): ShownCheck {
  const name = check.name.charAt(0).toUpperCase() + check.name.slice(1);
  const shown = { name, tone: tones[check.state], finding: check.text, bar: check.bar, at: check.at };
  if (check.name !== 'heard' || check.at === null) return shown;
  if (check.state === 'late') return { ...shown, at: null };
  const isSilent = now - Date.parse(check.at) > LATE_MS;
  return { ...shown, tone: isSilent ? 'mend' : shown.tone, finding: formatAgo(check.at, now), at: null };
}
