import type { ChangeKind, DeadLetterView, EventDetail, EventOutcome, EventRow } from '$lib/api/shapes';
import { reasonWords } from '$lib/components/objects/reasons';
import { counted } from '$lib/format/count';
import { toCsv } from '$lib/format/csv';
import { exactTime } from '$lib/format/time';

/** Kinds of change, as the filter offers them. */
export const kinds: ChangeKind[] = [
  'create',
  'update',
  'delete',
  'undelete',
  'gap-create',
  'gap-update',
  'gap-delete',
  'gap-undelete',
  'overflow',
];

/** A kind of change in words: `gap update`. */
export function kindWords(kind: ChangeKind): string {
  return kind.replace('-', ' ');
}

/** What may have been done with an event, in words. */
export const outcomes: Record<EventOutcome, string> = {
  applied: 'applied',
  deleted: 'deleted',
  skipped: 'skipped',
  dirty: 'fetched whole',
  rejected: 'rejected',
  unmapped: 'not mapped',
  'dead-letter': 'dead letter',
  hole: 'opened a hole',
};

export type OutcomeTone = 'quiet' | 'plain' | 'attention' | 'fails';

/** Colour only where somebody should look: rejected in amber, dead letters in red. */
export function toneOf(outcome: EventOutcome | null): OutcomeTone {
  switch (outcome) {
    case 'rejected':
      return 'attention';
    case 'dead-letter':
    case 'hole':
      return 'fails';
    case 'applied':
    case 'deleted':
      return 'quiet';
    default:
      return 'plain';
  }
}

/**
 * The outcome of a row, with its reason where that says more than the word: `applied`, `rejected: no-sku`,
 * `fetched whole: the event does not say how it changed`, `waits`.
 */
export function outcomeWords(row: EventRow): string {
  if (row.outcome === null) return 'waits';
  const words = outcomes[row.outcome];
  const reason = reasonIn(row.why);
  return reason ? `${words}: ${reasonWords(reason)}` : words;
}

/** What stands in brackets or behind a colon of an explanation: the part that is not the outcome once more. */
function reasonIn(explanation: string | null): string | undefined {
  const found = /\((.+)\)\.?$|: (.+?)\.?$/.exec(explanation ?? '');
  return found?.[1] ?? found?.[2];
}

/** What a row is about besides the record whose id it shows: `Fiber 500`, `and 3 more`, `records not named`. */
export function recordsWords(row: EventRow): string {
  if (row.recordId === null) return 'records not named';
  const more = row.records > 1 ? `and ${row.records - 1} more` : '';
  return [row.recordName, more].filter(Boolean).join(' ');
}

/** Rows as comma-separated values. */
export function rowsAsCsv(rows: EventRow[]): string {
  return toCsv(
    [
      'position',
      'received',
      'committed',
      'object',
      'change',
      'id',
      'name',
      'records',
      'outcome',
      'why',
      'took_ms',
    ],
    rows.map((row) => [
      row.position,
      exactTime(row.receivedAt),
      exactTime(row.committedAt),
      row.object,
      row.kind,
      row.recordId,
      row.recordName,
      row.records,
      row.outcome,
      row.why,
      row.tookMs,
    ]),
  );
}

/** An event as text, complete, for the clipboard. */
export function eventAsText(event: EventDetail): string {
  const { row } = event;
  return [
    `${row.object} ${row.kind} ${event.recordIds.join(' ')}`,
    `position ${row.position}, received ${exactTime(row.receivedAt)}, committed ${exactTime(row.committedAt)}`,
    `channel ${row.channel}, replay id ${event.replayId}, transaction ${event.transactionKey} ${event.sequenceNumber}`,
    ...event.steps.map((step) => `+ ${step.ms ?? '?'} ms ${step.title}: ${step.why}`),
    event.payload,
  ].join('\n');
}

/** What closing dead letters comes to, before anybody does it: a fetch of 2,000 records of an object is one call. */
export function closingPlan(letters: DeadLetterView[]): { records: number; apiCalls: number } {
  const records = new Map<string, Set<string>>();
  for (const { object, recordId } of letters) {
    if (!object || !recordId) continue;
    records.set(object, (records.get(object) ?? new Set()).add(recordId));
  }
  const sizes = [...records.values()].map((ids) => ids.size);
  return {
    records: sizes.reduce((sum, size) => sum + size, 0),
    apiCalls: sizes.reduce((sum, size) => sum + Math.ceil(size / 2_000), 0),
  };
}

/** `2 dead letters, one cause` */
export function lettersWords(total: number, causes: number): string {
  return `${counted(total, 'dead letter')}, ${causes === 1 ? 'one cause' : counted(causes, 'cause')}`;
}
