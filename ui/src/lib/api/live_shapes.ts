/** The shapes of live data as the window uses them: streams, events, lag, holes, schedules, flags, replay and quota. */
import type { Problem_Serialize as Problem } from './bindings';

export type StreamState = 'stopped' | 'connecting' | 'live' | 'backoff' | 'polling' | 'paused' | 'failed';

/** The subscription of the environment. */
export interface StreamView {
  channel: string;
  state: StreamState;
  problem: Problem | null;
  /** Since when it is live without a break. */
  liveSince: string | null;
  retryAt: string | null;
  /** The last message or keep-alive. */
  heardAt: string | null;
  replayId: string | null;
  /** Which process holds it. */
  worker: string | null;
  isHere: boolean;
  backlogEvents: number;
  backlogAgeMs: number | null;
}

/** What the live side says of one object, beside its loads and counts. */
export interface LiveObject {
  /** now − live through when the status was put together, in milliseconds; none while never loaded. */
  lagMs: number | null;
  /** The Salesforce time up to which the table is known to be complete. */
  liveThrough: string | null;
  backlogEvents: number;
  backlogAgeMs: number | null;
  heardAt: string | null;
  /** Open holes. */
  holes: number;
  dirty: number;
  deadLetters: number;
  /** The same for formula columns: their last refresh. */
  formulaLiveThrough: string | null;
  nextCatchUp: string | null;
}

/** A process that works, or could, on the environment. */
export interface WorkerView {
  id: string;
  hostKind: string;
  /** `this console`, `shadow-sync on shop-db-1`. */
  holder: string;
  startedAt: string;
  seenAt: string;
  role: 'leader' | 'standby';
  streaming: boolean;
  /** Whether it is the process of this window. */
  isThis: boolean;
}

export type ChangeKind =
  | 'create'
  | 'update'
  | 'delete'
  | 'undelete'
  | 'gap-create'
  | 'gap-update'
  | 'gap-delete'
  | 'gap-undelete'
  | 'overflow'
  | 'unknown';

export type EventOutcome =
  'skipped' | 'unmapped' | 'applied' | 'deleted' | 'rejected' | 'dirty' | 'hole' | 'dead-letter';

/** One event as a list shows it. */
export interface EventRow {
  position: number;
  receivedAt: string;
  committedAt: string;
  channel: string;
  object: string;
  kind: ChangeKind;
  /** The first of its records; none where the event names none. */
  recordId: string | null;
  records: number;
  /** The most remarkable of its records; none while it waits. */
  outcome: EventOutcome | null;
  why: string | null;
  tookMs: number | null;
}

export interface EventFilter {
  object: string | null;
  kind: ChangeKind | null;
  outcome: EventOutcome | null;
  record: string | null;
  /** Only events below this position: the next page. */
  after: number | null;
  limit: number;
}

export interface EventsView {
  events: EventRow[];
  /** Give it as `after` to read on; none at the end. */
  next: number | null;
}

export interface EventField {
  field: string;
  /** What the shadow has now. */
  stored: string | null;
  after: string | null;
  isMapped: boolean;
}

export interface EventStep {
  at: string | null;
  ms: number | null;
  title: string;
  why: string;
  state: 'done' | 'skipped' | 'waits' | 'failed';
}

export interface RecordOutcome {
  record: string | null;
  outcome: EventOutcome;
  why: string;
  at: string;
}

export interface EventDetail {
  row: EventRow;
  replayId: string;
  schemaId: string;
  payloadBytes: number;
  transactionKey: string;
  sequenceNumber: number;
  changedBy: string | null;
  changeOrigin: string | null;
  recordIds: string[];
  fields: EventField[];
  steps: EventStep[];
  outcomes: RecordOutcome[];
  payload: string;
  url: string | null;
}

export interface DeadLetterView {
  id: string;
  position: number | null;
  receivedAt: string;
  channel: string;
  object: string | null;
  recordId: string | null;
  records: number;
  /** A stable word, e.g. `unknown-schema`. */
  cause: string;
  /** The cause in a sentence. */
  explanation: string;
  attempts: number;
}

export interface DeadLetterGroup {
  cause: string;
  title: string;
  /** What mends it. */
  cure: string;
  letters: DeadLetterView[];
  /** All of that cause; `letters` may hold fewer. */
  total: number;
}

export interface DeadLettersView {
  total: number;
  groups: DeadLetterGroup[];
}

export interface ObjectLag {
  object: string;
  /** One per point; none where there was no sample. */
  lagMs: (number | null)[];
}

export interface FailureSeries {
  /** `connect`, `apply`, `fetch`, … */
  stage: string;
  counts: number[];
}

export interface OutageView {
  from: string;
  /** None while it lasts. */
  until: string | null;
  title: string;
  /** What was wrong, and how it was bridged. */
  detail: string;
}

export interface LagMark {
  at: string;
  kind: 'backfill' | 'catchUp' | 'flush' | 'verification';
  text: string;
  /** Whether what it found agrees; none where it compares nothing. */
  agrees: boolean | null;
}

/** Everything the Lag page draws, on one time axis. */
export interface LagSeries {
  from: string;
  until: string;
  stepMs: number;
  /** The beginning of each point, as milliseconds since the epoch. */
  times: number[];
  objects: ObjectLag[];
  received: (number | null)[];
  applied: (number | null)[];
  backlog: (number | null)[];
  failures: FailureSeries[];
  outages: OutageView[];
  marks: LagMark[];
}

export type HoleWhy =
  | 'first-position'
  | 'position-lost'
  | 'header-unreadable'
  | 'overflow'
  | 'wildcard'
  | 'channel-changed'
  | 'selection'
  | 'permission'
  | 'allocation'
  | 'stream-lag';

export interface HoleView {
  id: string;
  object: string;
  channel: string;
  /** None: since ever. */
  from: string | null;
  /** None while it grows. */
  until: string | null;
  why: HoleWhy;
  explanation: string;
  openedAt: string;
  needs: 'catch-up' | 'backfill';
  jobId: string | null;
  closedAt: string | null;
  closedHow: string | null;
}

/** Something that runs by itself at times. */
export interface ScheduleView {
  kind: 'catch-up' | 'formulas' | 'retention';
  title: string;
  /** The cron expression. */
  cron: string;
  timeZone: string;
  lastAt: string | null;
  lastResult: string | null;
  nextAt: string | null;
}

export type FlagName = 'shadow-reads' | 'event-consumer';

export interface FlagView {
  name: FlagName;
  isOn: boolean;
  explanation: string;
  /** The variable that overrides the database in this process. */
  overriddenBy: string | null;
  setBy: string | null;
  setAt: string | null;
}

export interface ReplayRequest {
  /** None: the earliest there are. */
  from: string | null;
  object: string | null;
  fromSalesforce: boolean;
}

export interface ReplayDifference {
  object: string;
  record: string;
  position: number | null;
  what: string;
}

/** What a replay found, or did. */
export interface ReplayView {
  events: number;
  records: number;
  differing: number;
  unknownEvents: number;
  marked: number;
  apiCalls: number;
  earliest: string | null;
  explanation: string;
  differences: ReplayDifference[];
}

export interface QuotaView {
  used: number;
  max: number;
  ours: number;
  /** Share of the limit that background work leaves alone. */
  reserve: number;
  /** Share of the limit that is ours at most. */
  ownShare: number;
  purposes: { purpose: string; calls: number }[];
  hours: { hour: string; calls: number }[];
  /** When the limit would be reached at the pace of the last hours; none: not within a day. */
  exhaustedAt: string | null;
  /** What waits for calls to come back. */
  stopped: ('verification' | 'polling' | 'healing')[];
  limits: { name: string; used: number; max: number; at: string }[];
  at: string | null;
}

/** What the live side adds to the status. */
export interface LiveStatus {
  stream: StreamView | null;
  /** Processes seen lately. */
  workers: WorkerView[];
  quota: QuotaView | null;
  schedules: ScheduleView[];
}
