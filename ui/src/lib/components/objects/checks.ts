import type { ObjectStatus, StreamView } from '$lib/api/shapes';
import { counted, formatCount } from '$lib/format/count';
import { formatAge } from '$lib/format/duration';
import { LATE_MS } from './live';

/** One named check behind the health chip. */
export interface HealthCheck {
  name: string;
  tone: 'holds' | 'look' | 'mend' | 'unknown';
  finding: string;
  /** What would be in order: `≤ 330 s`. */
  bar: string;
  /** The time it is of; formatted by who shows it. */
  at: string | null;
}

/** The checks that the health of an object is made of, in the order in which a change meets them. */
export function healthChecks(status: ObjectStatus, stream: StreamView | null, now: number): HealthCheck[] {
  return [
    heard(status, stream, now),
    stored(status, stream),
    applied(status, stream),
    loaded(status),
    ...proofs(status),
  ];
}

function heard({ heardAt, isConfirmed }: ObjectStatus, stream: StreamView | null, now: number): HealthCheck {
  const bar = `≤ ${LATE_MS / 1000} s`;
  if (!stream) return { name: 'Heard', tone: 'unknown', finding: 'no stream yet', bar, at: null };
  if (!heardAt) return { name: 'Heard', tone: 'unknown', finding: 'never', bar, at: null };
  if (!isConfirmed) {
    const finding = 'the stream does not speak for it; catch-ups do';
    return { name: 'Heard', tone: 'look', finding, bar, at: heardAt };
  }
  const age = now - Date.parse(heardAt);
  const finding = `${formatAge(age)} ago`;
  return { name: 'Heard', tone: age <= LATE_MS ? 'holds' : 'mend', finding, bar, at: heardAt };
}

function stored({ holes }: ObjectStatus, stream: StreamView | null): HealthCheck {
  const finding =
    holes === 0 ? (stream ? 'nothing missed' : 'no stream yet') : `${counted(holes, 'hole')} open`;
  const tone = holes > 0 ? 'mend' : stream ? 'holds' : 'unknown';
  return { name: 'Stored', tone, finding, bar: 'no hole', at: null };
}

function applied(status: ObjectStatus, stream: StreamView | null): HealthCheck {
  const { backlogEvents, backlogAgeMs, dirty, deadLetters } = status;
  const check = { name: 'Applied', bar: 'nothing waits', at: null };
  if (deadLetters > 0) return { ...check, tone: 'mend', finding: counted(deadLetters, 'dead letter') };
  if (backlogEvents > 0) {
    const age = backlogAgeMs === null ? '' : `, the oldest for ${formatAge(backlogAgeMs)}`;
    const isLate = (backlogAgeMs ?? 0) > LATE_MS;
    return { ...check, tone: isLate ? 'mend' : 'holds', finding: `${formatCount(backlogEvents)} wait${age}` };
  }
  if (dirty > 0) return { ...check, tone: 'look', finding: `${counted(dirty, 'record')} to be fetched` };
  if (!stream) return { ...check, tone: 'unknown', finding: 'no stream yet' };
  return { ...check, tone: 'holds', finding: 'all that was stored' };
}

function loaded({ job, loadedAt }: ObjectStatus): HealthCheck {
  const failed = job?.state === 'failed';
  return {
    name: 'Loaded',
    tone: failed ? 'mend' : loadedAt ? 'holds' : 'unknown',
    finding: failed ? 'the last backfill failed' : loadedAt ? 'completely' : 'never',
    bar: 'once, completely',
    at: failed ? job.endedAt : loadedAt,
  };
}

function proofs({ count, comparedAt }: ObjectStatus): HealthCheck[] {
  const left = count.unexplained;
  return [
    {
      name: 'Counted',
      tone: left === null ? 'unknown' : left === 0 ? 'holds' : 'mend',
      finding:
        left === null ? 'not yet' : left === 0 ? 'nothing unexplained' : `${formatCount(left)} unexplained`,
      bar: 'none unexplained',
      at: count.salesforceAt,
    },
    // Comparing stamps finds what events missed, but no wrong value under a right stamp.
    {
      name: 'Verified',
      tone: 'unknown',
      finding: comparedAt ? 'ids and stamps compared; values never' : 'never',
      bar: 'none differ',
      at: comparedAt,
    },
  ];
}
