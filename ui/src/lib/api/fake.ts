/**
 * A scripted engine for `vite dev` and for looking at components: no network, no org, no database.
 * The scene is chosen by the address (`?scene=running`); `fake/` holds their data.
 */
import type {
  AuditView,
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
  RecognisedOrg,
  RejectsView,
  ReplayRequest,
  ReplayView,
  StatusView,
  TriedKeys,
  View,
} from './shapes';
import type { Api } from './client';
import * as cache from './fake/cache';
import * as events from './fake/events';
import * as jobs from './fake/jobs';
import * as live from './fake/live';
import { audit } from './fake/audit';
import { at, pause } from './fake/clock';
import { lag } from './fake/lag';
import { authorizeUrl, environment, recognise } from './fake/org';
import { plan, preflight } from './fake/preflight';
import { databaseDown } from './fake/problems';
import { rejects } from './fake/rejects';
import { scene, type Scene } from './fake/scene';
import { counts, status } from './fake/status';

export class FakeApi implements Api {
  #scene: Scene;
  #heard: (stale: View[]) => void = () => undefined;
  #ticks = 0;
  #cacheAsked = 0;

  constructor(name: string) {
    this.#scene = scene(name);
    setInterval(() => this.#tick(), 400);
  }

  async listen(heard: (stale: View[]) => void): Promise<() => void> {
    this.#heard = heard;
    return () => (this.#heard = () => undefined);
  }

  async status(): Promise<StatusView> {
    if (this.#scene.statusFails && this.#scene.asked++ > 0) throw this.#scene.statusFails;
    return status(this.#scene);
  }

  async environments(): Promise<EnvironmentView[]> {
    return this.#scene.environments;
  }

  async recogniseOrg(address: string): Promise<RecognisedOrg> {
    return recognise(address);
  }

  async addEnvironment(added: NewEnvironment): Promise<EnvironmentView> {
    const made = environment(added.name, added.kind, {
      loginUrl: added.loginUrl,
      clientId: added.clientId ?? 'shadow-sync-demo',
    });
    this.#scene.environments = [...this.#scene.environments, made];
    await this.useEnvironment(made.name);
    return made;
  }

  async useEnvironment(name: string): Promise<void> {
    await pause(300);
    if (this.#scene.name === 'database-down') throw databaseDown;
    this.#scene.environments = this.#scene.environments.map((one) => ({ ...one, isOpen: one.name === name }));
    this.#scene.signedIn = false;
    this.#heard(['environments', 'status', 'signIn', 'jobs', 'counts']);
  }

  async removeEnvironment(name: string): Promise<void> {
    this.#scene.environments = this.#scene.environments.filter((one) => one.name !== name);
    this.#heard(['environments', 'status']);
  }

  async lookAround(): Promise<void> {
    await pause(600);
    this.#scene = scene('empty');
    this.#heard(['environments', 'status', 'signIn', 'jobs', 'counts', 'audit']);
  }

  async signIn(): Promise<void> {
    this.#scene.signIn = {
      state: 'waitingForBrowser',
      authorizeUrl: authorizeUrl,
      since: at(0),
    };
    this.#heard(['signIn']);
    setTimeout(() => {
      if (this.#scene.signIn?.state !== 'waitingForBrowser') return;
      this.#scene.signIn = undefined;
      this.#scene.signedIn = true;
      this.#heard(['signIn']);
    }, 4000);
  }

  async cancelSignIn(): Promise<void> {
    this.#scene.signIn = undefined;
    this.#heard(['signIn']);
  }

  async signOut(): Promise<void> {
    this.#scene.signedIn = false;
    this.#heard(['signIn']);
  }

  async preflight(): Promise<PreflightView> {
    await pause(800);
    return preflight;
  }

  async planBackfill(objects: string[]): Promise<BackfillPlan> {
    await pause(400);
    return plan(objects);
  }

  async startBackfill(objects: string[]): Promise<void> {
    this.#scene.jobs = [...objects.map((object) => jobs.startedJob(object)), ...this.#scene.jobs];
    this.#heard(['jobs']);
  }

  async jobs(): Promise<JobView[]> {
    return this.#scene.jobs;
  }

  async pauseJob(id: string): Promise<void> {
    this.#change(id, { state: 'paused', leftMs: null, rate: null });
  }

  async resumeJob(id: string): Promise<void> {
    this.#change(id, { state: 'running', problem: null });
  }

  async cancelJob(id: string): Promise<void> {
    this.#change(id, { state: 'cancelling' });
    setTimeout(() => this.#change(id, { state: 'cancelled', stage: 'ended', endedAt: at(0) }), 1200);
  }

  async counts(): Promise<CountsView> {
    return counts(this.#scene);
  }

  async countNow(): Promise<CountsView> {
    await pause(900);
    this.#scene.countedAt = Date.now();
    this.#heard(['counts']);
    return counts(this.#scene);
  }

  async consentRemovals(id: string): Promise<void> {
    this.#change(id, { removalsWaiting: 0 });
  }

  async rejects(object: string | null): Promise<RejectsView> {
    await pause(150);
    return rejects(object);
  }

  async retryRejects(): Promise<number> {
    await pause(500);
    this.#heard(['rejects']);
    return 0;
  }

  async audit(): Promise<AuditView[]> {
    return this.#scene.jobs.length > 0 ? audit : [];
  }

  async events(filter: EventFilter): Promise<EventsView> {
    return events.events(this.#scene, filter);
  }

  async event(position: number): Promise<EventDetail> {
    await pause(60);
    return events.event(this.#scene, position);
  }

  async deadLetters(): Promise<DeadLettersView> {
    return events.deadLetters(this.#scene);
  }

  async retryDeadLetters(ids: string[]): Promise<number> {
    await pause(600);
    this.#remove(ids);
    return ids.length;
  }

  async discardDeadLetters(ids: string[]): Promise<number> {
    await pause(200);
    this.#remove(ids);
    return ids.length;
  }

  async planReplay(request: ReplayRequest): Promise<ReplayView> {
    await pause(500);
    return live.replay(request.from, request.object, true);
  }

  async replay(request: ReplayRequest): Promise<ReplayView> {
    await pause(900);
    return live.replay(request.from, request.object, false);
  }

  async lag(from: string, until: string, points: number): Promise<LagSeries> {
    if (this.#scene.name === 'database-down') throw databaseDown;
    return lag(this.#scene, Date.parse(from), Date.parse(until), points);
  }

  async holes(): Promise<HoleView[]> {
    return live.holes(this.#scene);
  }

  async startCatchUp(): Promise<void> {
    await pause(400);
    this.#heard(['jobs', 'holes', 'status']);
  }

  async refreshFormulas(): Promise<void> {
    await pause(400);
    this.#heard(['jobs', 'status']);
  }

  async flags(): Promise<FlagView[]> {
    return live.flags(this.#scene);
  }

  async setFlag(name: FlagName, isOn: boolean): Promise<void> {
    await pause(200);
    if (isOn) this.#scene.flagsOff.delete(name);
    else this.#scene.flagsOff.add(name);
    this.#heard(['flags', 'status']);
  }

  async tripReads(reason: string): Promise<void> {
    await pause(200);
    this.#scene.trip = { reason, by: 'm.lindqvist@halden.example', at: new Date().toISOString() };
    this.#heard(['flags', 'status']);
  }

  async resetTrip(): Promise<void> {
    await pause(200);
    this.#scene.trip = null;
    this.#heard(['flags', 'status']);
  }

  async comparison(): Promise<ComparisonView> {
    return live.comparison(this.#scene);
  }

  async pauseSync(): Promise<void> {
    this.#scene.stream = 'paused';
    this.#heard(['status']);
  }

  async resumeSync(): Promise<void> {
    this.#scene.stream = 'live';
    this.#heard(['status']);
  }

  async cache(): Promise<CacheView> {
    const isStale = this.#scene.name === 'stale' && this.#cacheAsked++ > 0;
    if (this.#scene.name === 'database-down' || isStale) throw databaseDown;
    return cache.view(this.#scene);
  }

  async previewFlush(scope: FlushScope): Promise<FlushPlan> {
    await pause(600);
    return cache.plan(this.#scene, scope);
  }

  async startFlush(scope: FlushScope, confirm: string | null): Promise<FlushView> {
    const started = cache.start(this.#scene, scope, confirm);
    this.#heard(['cache']);
    return started;
  }

  async stopFlush(id: string): Promise<void> {
    cache.stop(this.#scene, id);
    this.#heard(['cache']);
  }

  async flushes(): Promise<FlushView[]> {
    if (this.#scene.name === 'database-down') throw databaseDown;
    return this.#scene.cache.flushes;
  }

  async holdInvalidations(isHeld: boolean): Promise<void> {
    await pause(200);
    cache.hold(this.#scene, isHeld);
    this.#heard(['cache']);
  }

  async setCacheRules(object: string, patterns: string[], templates: string[]): Promise<void> {
    await pause(200);
    cache.setRules(this.#scene, object, { patterns, templates });
    this.#heard(['cache']);
  }

  async declareComplete(object: string, isComplete: boolean): Promise<void> {
    await pause(200);
    cache.setRules(this.#scene, object, {
      isComplete,
      completeBy: isComplete ? 'm.lindqvist@halden.example' : null,
      completeAt: isComplete ? new Date().toISOString() : null,
    });
    this.#heard(['cache']);
  }

  async tryKeys(object: string, record: string): Promise<TriedKeys[]> {
    await pause(150);
    return cache.tryKeys(this.#scene, object, record);
  }

  async probeCache(): Promise<Probe> {
    await pause(900);
    return cache.probe(this.#scene);
  }

  async openInBrowser(): Promise<void> {
    await pause(50);
  }

  #remove(letters: string[]): void {
    letters.forEach((id) => this.#scene.lettersGone.add(id));
    this.#heard(['deadLetters', 'events', 'status']);
  }

  #change(id: string, change: Partial<JobView>): void {
    this.#scene.jobs = this.#scene.jobs.map((job) => (job.id === id ? { ...job, ...change } : job));
    this.#heard(['jobs']);
  }

  #tick(): void {
    if (cache.advance(this.#scene)) this.#heard(['cache']);
    if (!this.#scene.frozen && this.#scene.stream !== 'none') this.#arrive();
    const running = this.#scene.jobs.some((job) => job.state === 'running');
    if (!running || this.#scene.frozen) return;
    this.#scene.jobs = this.#scene.jobs.map((job) => (job.state === 'running' ? jobs.advance(job) : job));
    this.#heard(['jobs']);
  }

  /** One event each two seconds. */
  #arrive(): void {
    this.#ticks += 1;
    if (this.#ticks % 5 !== 0) return;
    events.arrive();
    this.#heard(['events', 'status']);
  }
}
