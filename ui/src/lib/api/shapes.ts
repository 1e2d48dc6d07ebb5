/**
 * The shapes that cross between window and engine, by their plain names. The generator tells apart what the engine
 * writes (optional fields are there, as null) and what it reads (they may be absent): answers are of the first kind.
 */
import type {
  FlagName as GeneratedFlagName,
  FlagView_Serialize,
  Problem_Serialize as Problem,
  View as GeneratedView,
} from './bindings';

export type {
  ChangeKind,
  DeadLetterGroup_Serialize as DeadLetterGroup,
  DeadLetterView_Serialize as DeadLetterView,
  DeadLettersView_Serialize as DeadLettersView,
  EventDetail_Serialize as EventDetail,
  EventField_Serialize as EventField,
  EventFilter_Serialize as EventFilter,
  EventOutcome,
  EventRow_Serialize as EventRow,
  EventStep_Serialize as EventStep,
  EventsView_Serialize as EventsView,
  HoleView_Serialize as HoleView,
  LagMark_Serialize as LagMark,
  LagSeries_Serialize as LagSeries,
  ObjectStatus_Serialize as ObjectStatus,
  OutageView_Serialize as OutageView,
  QuotaView_Serialize as QuotaView,
  ReplayRequest_Serialize as ReplayRequest,
  ReplayView_Serialize as ReplayView,
  ScheduleView_Serialize as ScheduleView,
  StatusView_Serialize as StatusView,
  StreamView_Serialize as StreamView,
  WorkerView,
  ApiUsageView,
  AuditView_Serialize as AuditView,
  BackfillMode,
  BackfillPlan_Serialize as BackfillPlan,
  CheckColour,
  CheckView_Serialize as CheckView,
  CountView_Serialize as CountView,
  CountsView_Serialize as CountsView,
  DatabaseState_Serialize as DatabaseState,
  EnvironmentKind,
  EnvironmentView_Serialize as EnvironmentView,
  JobKind,
  JobStage,
  JobState,
  JobView_Serialize as JobView,
  MendAct,
  Mender,
  NewEnvironment_Deserialize as NewEnvironment,
  ObjectHealth,
  OrgView_Serialize as OrgView,
  PageState,
  PageView,
  PreflightView_Serialize as PreflightView,
  Problem_Serialize as Problem,
  RecognisedOrg,
  RejectView_Serialize as RejectView,
  RejectsView_Serialize as RejectsView,
  RowsView,
  SignInFlow,
  SignInState_Serialize as SignInState,
} from './bindings';

export type FlagName = GeneratedFlagName | 'compare-reads';

/** Why readers were taken off the shadow in every process. */
export interface TripView {
  reason: string;
  by: string;
  at: string;
}

export type FlagView = Omit<FlagView_Serialize, 'name'> & { name: FlagName; trip: TripView | null };

/** What can go stale. */
export type View = GeneratedView | 'cache';

/** Where the cache stands. */
export type CacheState = 'none' | 'ok' | 'down' | 'denied';

/** One server of the cache that holds keys. */
export interface CacheServer {
  address: string;
  version: string;
  keys: number;
  memoryBytes: number;
  startedAt: string | null;
}

/** Which keys the changes of one object delete. */
export interface RulesView {
  object: string;
  table: string;
  patterns: string[];
  templates: string[];
  /** Declared complete: its patterns are no longer deleted with each change. */
  isComplete: boolean;
  completeBy: string | null;
  completeAt: string | null;
  /** Columns that a template may name. */
  columns: string[];
}

/** The cache of the environment, and what waits to be deleted from it. */
export interface CacheView {
  state: CacheState;
  problem: Problem | null;
  address: string | null;
  topology: 'single' | 'sentinel' | 'cluster' | null;
  servers: CacheServer[];
  heldBy: { who: string; at: string } | null;
  waiting: { orders: number; oldestSeconds: number | null };
  /** Orders whose keys were deleted once and are deleted again after the delay. */
  secondPass: number;
  failed: { orders: number; problem: Problem | null };
  rules: RulesView[];
  seenAt: string | null;
}

/** What a flush deletes. */
export type FlushScope =
  | { kind: 'all' | 'catalog' | 'eligibility' }
  | { kind: 'sku'; sku: string }
  | { kind: 'account'; id: string }
  | { kind: 'pattern'; pattern: string };

/** A key that a flush would delete. */
export interface KeyExample {
  key: string;
  bytes: number | null;
  expiresInMs: number | null;
}

/** What a flush would delete; nothing is deleted by asking. */
export interface FlushPlan {
  scope: FlushScope;
  patterns: string[];
  keys: number;
  examples: KeyExample[];
  /** None where the cache's user may not ask. */
  bytes: number | null;
  bytesExact: boolean;
  needsName: boolean;
  stopped: boolean;
  tookMs: number;
}

/** A flush that a person ordered. */
export interface FlushView {
  id: string;
  kind: string;
  /** What it is of, in words. */
  scope: string;
  state: 'running' | 'done' | 'stopped' | 'failed';
  seen: number;
  deleted: number;
  startedAt: string;
  endedAt: string | null;
  by: string;
  problem: Problem | null;
}

/** The keys that one template makes of a record. */
export interface TriedKeys {
  template: string;
  keys: { key: string; exists: boolean | null }[];
  problem: string | null;
}

/** Keys under the patterns, and those of them that no template makes. */
export interface Probe {
  seen: number;
  unknown: number;
  examples: string[];
  perPattern: { pattern: string; seen: number; unknown: number }[];
  stopped: boolean;
  tookMs: number;
}
