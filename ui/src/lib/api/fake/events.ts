/** The change log of the scripted org: what came in, what was done with it and why. */
import type {
  ChangeKind,
  DeadLettersView,
  EventDetail,
  EventFilter,
  EventOutcome,
  EventRow,
  EventStep,
  EventsView,
} from '../shapes';
import { at } from './clock';
import type { Scene } from './scene';

type Line = [
  seconds: number,
  object: string,
  kind: ChangeKind,
  outcome: EventOutcome,
  why: string,
  ms: number,
];

const lines: Line[] = [
  [0.4, 'PricebookEntry', 'update', 'applied', '', 7],
  [0.4, 'PricebookEntry', 'update', 'applied', '', 7],
  [0.4, 'PricebookEntry', 'update', 'applied', '', 7],
  [5, 'Account', 'update', 'applied', '', 6],
  [7.3, 'Product2', 'update', 'applied', '', 9],
  [7.3, 'PricebookEntry', 'update', 'dirty', 'the event does not carry all of its fields', 212],
  [14, 'Account', 'update', 'skipped', '', 3],
  [22, 'PricebookEntry', 'update', 'skipped', '', 3],
  [25.6, 'Product2', 'create', 'rejected', 'no-sku', 5],
  [28, 'Account', 'gap-update', 'dirty', 'the event does not say how it changed', 188],
  [35, 'Account', 'update', 'applied', '', 6],
  [46, 'PricebookEntry', 'delete', 'deleted', '', 5],
  [53, 'Account', 'update', 'applied', '', 7],
  [57, 'PricebookEntry', 'create', 'applied', '', 6],
  [57.2, 'Product2', 'create', 'applied', '', 6],
  [69, 'Account', 'undelete', 'applied', '', 9],
  [81, 'Account', 'update', 'applied', '', 6],
  [95, 'PricebookEntry', 'update', 'applied', '', 7],
  [140, 'Product2', 'update', 'dead-letter', 'unknown schema', 12],
];

/** As the engine words them. */
const explanations: Record<EventOutcome, (reason: string) => string> = {
  applied: () => 'Its values are in the row',
  skipped: () => 'The row was as new already',
  deleted: () => 'The record left the shadow',
  unmapped: () => 'The object is not mapped, or was never loaded',
  hole: () => 'It names no records: a hole was opened and is being closed',
  rejected: (reason) => `The record cannot be stored: ${reason}`,
  dirty: (reason) => `The record is fetched whole (${reason})`,
  'dead-letter': (reason) => `It could not be processed: ${reason}`,
};

const TOP = 8_114_207;
const prefixes: Record<string, string> = { Product2: '01t7Y', PricebookEntry: '01u7Y', Account: '0017Y' };

const names = [
  'Fiber 500 Home',
  'Fiber 1000 Home',
  'VPN Secure Connect EU West',
  'Static IPv4 /29',
  'Voice Basic',
];

function recordId(object: string, position: number): string {
  return `${prefixes[object] ?? '0000Y'}00000${position.toString(36).padStart(5, '0').toUpperCase()}QA`;
}

/** Any number of rows: the script over and over, each time some minutes older. */
function row(index: number, top: number): EventRow {
  const [seconds, object, kind, outcome, why, tookMs] = lines[index % lines.length] as Line;
  const ago = seconds + Math.floor(index / lines.length) * 160;
  const position = top - index;
  return {
    position,
    receivedAt: at(ago),
    committedAt: at(ago + 0.58),
    object,
    kind,
    recordId: recordId(object, position),
    recordName: object === 'Account' ? null : (names[position % names.length] ?? null),
    channel: '/data/ShadowSync__chn',
    records: kind === 'gap-update' ? 4 : 1,
    outcome,
    why: explanations[outcome](why),
    tookMs,
  };
}

/** The newest rows that came while the preview runs: one each two seconds. */
let arrived = 0;
export function arrive(): void {
  arrived += 1;
}

const STORED = 2_000;

export function events(scene: Scene, filter: EventFilter): EventsView {
  if (scene.stream === 'none') return { events: [], next: null };
  const top = TOP + arrived;
  const all = Array.from({ length: STORED }, (_, index) => row(index, top)).filter(
    (one) =>
      (!filter.object || one.object === filter.object) &&
      (!filter.kind || one.kind === filter.kind) &&
      (!filter.outcome || one.outcome === filter.outcome) &&
      (!filter.record || one.recordId === filter.record) &&
      (filter.after === null || one.position < filter.after),
  );
  const shown = all.slice(0, filter.limit);
  return { events: shown, next: all.length > shown.length ? (shown.at(-1)?.position ?? null) : null };
}

function steps(one: EventRow): EventStep[] {
  const step = (ms: number, title: string, why: string, state: EventStep['state'] = 'done'): EventStep => ({
    at: null,
    ms,
    title,
    why,
    state,
  });
  const begun = [
    step(0, 'Received from Salesforce', 'transaction 00051a3e-8c4b, 3 records of it'),
    step(2, 'Stored with the checkpoint', `change log #${one.position.toLocaleString('en')}`),
  ];
  const took = one.tookMs ?? 0;
  switch (one.outcome) {
    case 'skipped':
      return [...begun, step(took, 'Skipped', one.why ?? '', 'skipped')];
    case 'dirty':
      return [
        ...begun,
        step(4, 'Marked dirty', `${one.why}: the record is fetched whole`),
        step(took, 'Fetched and merged', '1 API call for 1 record'),
      ];
    case 'rejected':
      return [
        ...begun,
        step(took, 'Rejected', 'neither StockKeepingUnit nor ProductCode has a value', 'failed'),
      ];
    case 'dead-letter':
      return [...begun, step(took, 'Parked as a dead letter', 'its schema could not be read', 'failed')];
    default:
      return [
        ...begun,
        step(took, 'Applied', 'committed 00:00:05.8 after the record was last read'),
        step(took + 4, '2 keys to delete', 'catalog:product:FBR-500-H and 1 more', 'waits'),
      ];
  }
}

export function event(scene: Scene, position: number): EventDetail {
  const index = TOP + arrived - position;
  const one = row(Math.max(0, index), TOP + arrived);
  const price = one.object === 'PricebookEntry';
  const payload = {
    ChangeEventHeader: {
      entityName: one.object,
      recordIds: [one.recordId],
      changeType: one.kind.toUpperCase(),
      changeOrigin: 'com/salesforce/api/soap/67.0;client=CPQ',
      transactionKey: '00051a3e-8c4b-10b2',
      sequenceNumber: 1,
      commitTimestamp: Date.parse(one.committedAt),
      commitNumber: 11_784_420_931,
      commitUser: '0057Y000003mLqPQAU',
      changedFields: price ? ['UnitPrice', 'LastModifiedDate'] : ['Name', 'LastModifiedDate'],
    },
    ...(price ? { UnitPrice: '49.90' } : { Name: 'SD-WAN Edge 100' }),
    LastModifiedDate: one.committedAt,
  };
  const clock = (iso: string) => new Date(iso).toTimeString().slice(0, 8);
  return {
    row: one,
    replayId: '00000000007bcf1f0000',
    schemaId: '9kJm3oT5y1Qw',
    payloadBytes: 512,
    transactionKey: '00051a3e-8c4b-10b2',
    sequenceNumber: 1,
    changedBy: '0057Y000003mLqPQAU',
    changeOrigin: 'com/salesforce/api/soap/67.0;client=CPQ',
    recordIds: one.recordId ? [one.recordId] : [],
    fields: [
      price
        ? { field: 'UnitPrice', stored: '44.90', after: '49.90', isMapped: true }
        : { field: 'Name', stored: 'SD-WAN Edge 90', after: 'SD-WAN Edge 100', isMapped: true },
      { field: 'LastModifiedDate', stored: '14:02:11', after: clock(one.committedAt), isMapped: false },
    ],
    steps: steps(one),
    outcomes: one.outcome
      ? [{ record: one.recordId, outcome: one.outcome, why: one.why ?? '', at: at(0) }]
      : [],
    payload: JSON.stringify(payload, null, 2),
    url: scene.signedIn ? `https://halden--uat.sandbox.my.salesforce.com/${one.recordId}` : null,
  };
}

export function deadLetters(scene: Scene): DeadLettersView {
  const letters = ['01t7Y00000UkL5mQAF', '01t7Y000005SsrOQAS']
    .map((record, index) => ({
      id: `d${index}`,
      position: TOP - 18 - index,
      receivedAt: at(9_226),
      channel: '/data/ShadowSync__chn',
      object: 'Product2',
      recordId: record,
      records: 1,
      cause: 'unknown-schema',
      explanation: 'Field Plan_Tier__c is not in schema 9kJ…Qw',
      attempts: 5,
    }))
    .filter((letter) => !scene.lettersGone.has(letter.id));
  if (letters.length === 0 || scene.stream !== 'live') return { total: 0, groups: [] };
  const group = {
    cause: 'unknown-schema',
    title: 'a field newer than our schema',
    cure: 'The schema is read again, and the records are fetched whole.',
    letters,
    total: letters.length,
  };
  return { total: letters.length, groups: [group] };
}
