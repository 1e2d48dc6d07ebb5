/**
 * What the window may ask of the engine. Pages and state classes know this interface and nothing behind it:
 * `tauri.ts` is the real one, `fake.ts` plays a scripted org for `vite dev`.
 *
 * Every call rejects with a `Problem`, whatever went wrong.
 */
import type {
  AuditView,
  BackfillMode,
  BackfillPlan,
  CacheView,
  ComparisonView,
  CountsView,
  DeadLettersView,
  EnvironmentView,
  EventDetail,
  EventFilter,
  EventsView,
  FlagName,
  FlagView,
  FlushPlan,
  FlushScope,
  FlushView,
  HoleView,
  JobView,
  LagSeries,
  NewEnvironment,
  PreflightView,
  Probe,
  Problem,
  RecognisedOrg,
  RejectsView,
  ReplayRequest,
  ReplayView,
  StatusView,
  TriedKeys,
  View,
} from './shapes';

export interface Api {
  /** Calls back with what is stale; answers with the function that ends it. */
  listen(heard: (stale: View[]) => void): Promise<() => void>;

  status(): Promise<StatusView>;

  environments(): Promise<EnvironmentView[]>;
  recogniseOrg(address: string): Promise<RecognisedOrg>;
  addEnvironment(environment: NewEnvironment): Promise<EnvironmentView>;
  /** Opens an environment, or the open one anew after its database went away. */
  useEnvironment(name: string): Promise<void>;
  removeEnvironment(name: string): Promise<void>;
  /** Starts the simulated org, adds its environment, opens it and signs in. */
  lookAround(): Promise<void>;

  /** Begins a sign-in: opens the browser and listens for its answer; `status().signIn` tells how it goes. */
  signIn(): Promise<void>;
  cancelSignIn(): Promise<void>;
  /** Revokes and forgets. */
  signOut(): Promise<void>;
  preflight(): Promise<PreflightView>;

  planBackfill(objects: string[]): Promise<BackfillPlan>;
  startBackfill(objects: string[], mode: BackfillMode): Promise<void>;
  jobs(): Promise<JobView[]>;
  pauseJob(id: string): Promise<void>;
  resumeJob(id: string): Promise<void>;
  cancelJob(id: string): Promise<void>;
  /** Consents to removals that wait because there are more than the guard allows. */
  consentRemovals(id: string): Promise<void>;

  /** The last counts; asks nobody. */
  counts(): Promise<CountsView>;
  /** Counts both sides now: one API call per object. */
  countNow(objects: string[]): Promise<CountsView>;
  /** Rejected records of one object or of all, at most `limit`, beginning behind the record `after`. */
  rejects(object: string | null, after: string | null, limit: number): Promise<RejectsView>;
  /** Tries to store rejected records again; answers how many entered the shadow. */
  retryRejects(): Promise<number>;

  audit(): Promise<AuditView[]>;

  /** Events, newest first, behind `filter.after`. */
  events(filter: EventFilter): Promise<EventsView>;
  event(position: number): Promise<EventDetail>;
  deadLetters(): Promise<DeadLettersView>;
  /** Closes dead letters and has their records fetched; answers how many records that are. */
  retryDeadLetters(ids: string[]): Promise<number>;
  /** Gives dead letters up; what they were about is fetched all the same. */
  discardDeadLetters(ids: string[]): Promise<number>;
  /** What a replay would look at and fetch; changes nothing. */
  planReplay(request: ReplayRequest): Promise<ReplayView>;
  replay(request: ReplayRequest): Promise<ReplayView>;
  /** Samples between two times, at most `points` of them. */
  lag(from: string, until: string, points: number): Promise<LagSeries>;

  /** Holes, open ones first. */
  holes(): Promise<HoleView[]>;
  /** Starts a catch-up with its id comparison; of all objects where none is named. */
  startCatchUp(objects: string[]): Promise<void>;
  /** Starts to refresh formula columns; of all objects where none is named. */
  refreshFormulas(objects: string[]): Promise<void>;
  flags(): Promise<FlagView[]>;
  setFlag(name: FlagName, isOn: boolean): Promise<void>;
  /** Takes readers off the shadow in every process, whatever the flags say. */
  tripReads(reason: string): Promise<void>;
  /** Lets the flags hold again. */
  resetTrip(): Promise<void>;
  /** How Salesforce’s answers compared to the shadow’s lately. */
  comparison(): Promise<ComparisonView>;
  /** Pauses all work on the environment, receiving too, or lets it go on. */
  pauseSync(): Promise<void>;
  resumeSync(): Promise<void>;

  /** The cache: whether it answers, what waits to be deleted, by which rules. */
  cache(): Promise<CacheView>;
  /** What a flush would delete; deletes nothing. */
  previewFlush(scope: FlushScope): Promise<FlushPlan>;
  /** Starts a flush. `confirm` is the environment's name, where it must be typed. */
  startFlush(scope: FlushScope, confirm: string | null): Promise<FlushView>;
  stopFlush(id: string): Promise<void>;
  /** Flushes ordered by hand, newest first. */
  flushes(): Promise<FlushView[]>;
  /** Holds the deletion of keys back, or lets it go on. */
  holdInvalidations(isHeld: boolean): Promise<void>;
  setCacheRules(object: string, patterns: string[], templates: string[]): Promise<void>;
  /** Says that the templates of an object make all of its keys, or that they do not. */
  declareComplete(object: string, isComplete: boolean): Promise<void>;
  /** The keys that the templates make of a record of the shadow. */
  tryKeys(object: string, record: string): Promise<TriedKeys[]>;
  /** Looks for keys under the patterns that no template makes. */
  probeCache(): Promise<Probe>;

  /** Opens a record of the open environment's org in the system browser. */
  openInBrowser(url: string): Promise<void>;
}

/** Whatever was thrown, as a problem that can be shown. */
export function asProblem(thrown: unknown): Problem {
  if (thrown && typeof thrown === 'object' && 'code' in thrown && 'title' in thrown) return thrown as Problem;
  return {
    code: 'SS-9001',
    title: 'The console could not be asked',
    cause: 'The part of the program that does the work gave no usable answer.',
    mender: 'you',
    steps: ['Close this window and open Shadow Sync again.', 'If it happens again, copy the details.'],
    paste: null,
    act: 'none',
    details: thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown),
  };
}
