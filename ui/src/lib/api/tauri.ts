/** The engine behind the window. Every call is a command of the host; a refusal is a `Problem` as it stands. */
import { invoke } from '@tauri-apps/api/core';
import { commands, events } from './bindings';
import type { Api } from './client';
import type {
  CacheView,
  FlagName,
  FlagView,
  FlushPlan,
  FlushScope,
  FlushView,
  Probe,
  TriedKeys,
  View,
} from './shapes';

/** What the host answers where there is nothing to say. */
const nothing = async (call: Promise<unknown>): Promise<void> => void (await call);

export class TauriApi implements Api {
  async listen(heard: (stale: View[]) => void): Promise<() => void> {
    return events.stale.listen((event) => heard(event.payload.views));
  }

  status = commands.status;

  environments = commands.listEnvironments;
  recogniseOrg = commands.recogniseOrg;
  addEnvironment = commands.addEnvironment;
  useEnvironment = (name: string) => nothing(commands.useEnvironment(name));
  removeEnvironment = (name: string) => nothing(commands.removeEnvironment(name));
  lookAround = () => nothing(commands.lookAround());

  signIn = () => nothing(commands.startSignIn());
  cancelSignIn = () => nothing(commands.cancelSignIn());
  signOut = () => nothing(commands.signOut());
  preflight = commands.runPreflight;

  planBackfill = commands.planBackfill;
  startBackfill = (...given: Parameters<typeof commands.startBackfill>) =>
    nothing(commands.startBackfill(...given));
  jobs = commands.listJobs;
  pauseJob = (id: string) => nothing(commands.pauseJob(id));
  resumeJob = (id: string) => nothing(commands.resumeJob(id));
  cancelJob = (id: string) => nothing(commands.cancelJob(id));
  consentRemovals = (id: string) => nothing(commands.consentRemovals(id));

  counts = commands.lastCounts;
  countNow = commands.countNow;
  rejects = commands.listRejects;
  retryRejects = commands.retryRejects;

  audit = commands.listAudit;
  openInBrowser = (url: string) => nothing(commands.openRecord(url));

  events = commands.listEvents;
  event = commands.getEvent;
  deadLetters = commands.listDeadLetters;
  retryDeadLetters = commands.retryDeadLetters;
  discardDeadLetters = commands.discardDeadLetters;
  planReplay = commands.planReplay;
  replay = commands.runReplay;
  lag = commands.lagSamples;

  holes = commands.listHoles;
  startCatchUp = (objects: string[]) => nothing(commands.startCatchUp(objects));
  refreshFormulas = (objects: string[]) => nothing(commands.refreshFormulas(objects));
  flags = () => invoke<FlagView[]>('list_flags');
  setFlag = (name: FlagName, isOn: boolean) => nothing(invoke('set_flag', { name, on: isOn }));
  tripReads = (reason: string) => nothing(invoke('trip_reads', { reason }));
  resetTrip = () => nothing(invoke('reset_trip'));
  pauseSync = () => nothing(commands.pauseObjects([]));
  resumeSync = () => nothing(commands.resumeObjects([]));

  cache = () => invoke<CacheView>('cache_view');
  previewFlush = (scope: FlushScope) => invoke<FlushPlan>('preview_flush', { scope });
  startFlush = (scope: FlushScope, confirm: string | null) =>
    invoke<FlushView>('start_flush', { scope, confirm });
  stopFlush = (id: string) => nothing(invoke('stop_flush', { id }));
  flushes = () => invoke<FlushView[]>('list_flushes');
  holdInvalidations = (isHeld: boolean) => nothing(invoke('hold_invalidations', { isHeld }));
  setCacheRules = (object: string, patterns: string[], templates: string[]) =>
    nothing(invoke('set_cache_rules', { object, patterns, templates }));
  declareComplete = (object: string, isComplete: boolean) =>
    nothing(invoke('declare_complete', { object, isComplete }));
  tryKeys = (object: string, record: string) => invoke<TriedKeys[]>('try_keys', { object, record });
  probeCache = () => invoke<Probe>('probe_cache');
}
