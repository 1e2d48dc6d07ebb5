/** The engine behind the window. Every call is a command of the host; a refusal is a `Problem` as it stands. */
import { commands, events } from './bindings';
import type { Api } from './client';
import type { StatusView, View } from './shapes';

/** What the host answers where there is nothing to say. */
const nothing = async (call: Promise<unknown>): Promise<void> => void (await call);

const noStream = { stream: null, workers: [], quota: null, schedules: [] };
const noLag = {
  lagMs: null,
  liveThrough: null,
  backlogEvents: 0,
  backlogAgeMs: null,
  heardAt: null,
  holes: 0,
  dirty: 0,
  deadLetters: 0,
  formulaLiveThrough: null,
  nextCatchUp: null,
};
const later = () => Promise.reject(new Error('The engine of this build has no stream'));

export class TauriApi implements Api {
  async listen(heard: (stale: View[]) => void): Promise<() => void> {
    return events.stale.listen((event) => heard(event.payload.views));
  }

  status = async (): Promise<StatusView> => {
    const status = await commands.status();
    const objects = status.objects.map((object) => ({ ...noLag, ...object }));
    return { ...noStream, ...status, objects };
  };

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

  events = later;
  event = later;
  deadLetters = async () => ({ total: 0, groups: [] });
  retryDeadLetters = later;
  discardDeadLetters = later;
  planReplay = later;
  replay = later;
  lag = later;
  holes = async () => [];
  startCatchUp = (objects: string[]) => nothing(commands.startCatchUp(objects));
  refreshFormulas = (objects: string[]) => nothing(commands.refreshFormulas(objects));
  flags = async () => [];
  setFlag = later;
  pauseSync = () => nothing(commands.pauseObjects([]));
  resumeSync = () => nothing(commands.resumeObjects([]));
}
