/** The engine behind the window. Every call is a command of the host; a refusal is a `Problem` as it stands. */
import { commands, events } from './bindings';
import type { Api } from './client';
import type { View } from './shapes';

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
  flags = commands.listFlags;
  setFlag = (...given: Parameters<typeof commands.setFlag>) => nothing(commands.setFlag(...given));
  tripReads = (reason: string) => nothing(commands.tripReads(reason));
  resetTrip = () => nothing(commands.resetTrip());
  comparison = commands.readComparison;
  pauseSync = () => nothing(commands.pauseObjects([]));
  resumeSync = () => nothing(commands.resumeObjects([]));

  cache = commands.cacheView;
  previewFlush = commands.previewFlush;
  startFlush = commands.startFlush;
  stopFlush = (id: string) => nothing(commands.stopFlush(id));
  flushes = commands.listFlushes;
  holdInvalidations = (isHeld: boolean) => nothing(commands.holdInvalidations(isHeld));
  setCacheRules = (...given: Parameters<typeof commands.setCacheRules>) =>
    nothing(commands.setCacheRules(...given));
  declareComplete = (...given: Parameters<typeof commands.declareComplete>) =>
    nothing(commands.declareComplete(...given));
  tryKeys = commands.tryKeys;
  probeCache = commands.probeCache;
}
