/**
 * A scripted engine for `vite dev` and for looking at components: no network, no org, no database.
 * The scene is chosen by the address (`?scene=running`); `fake_scenes.ts` holds their data.
 */
import type {
  AuditView,
  BackfillPlan,
  CountsView,
  EnvironmentView,
  JobView,
  NewEnvironment,
  PreflightView,
  RecognisedOrg,
  RejectsView,
  StatusView,
  View,
} from './shapes';
import type { Api } from './client';
import * as scenes from './fake_scenes';

export class FakeApi implements Api {
  #scene: scenes.Scene;
  #heard: (stale: View[]) => void = () => undefined;

  constructor(name: string) {
    this.#scene = scenes.scene(name);
    setInterval(() => this.#tick(), 400);
  }

  async listen(heard: (stale: View[]) => void): Promise<() => void> {
    this.#heard = heard;
    return () => (this.#heard = () => undefined);
  }

  async status(): Promise<StatusView> {
    if (this.#scene.statusFails && this.#scene.asked++ > 0) throw this.#scene.statusFails;
    return scenes.status(this.#scene);
  }

  async environments(): Promise<EnvironmentView[]> {
    return this.#scene.environments;
  }

  async recogniseOrg(address: string): Promise<RecognisedOrg> {
    return scenes.recognise(address);
  }

  async addEnvironment(added: NewEnvironment): Promise<EnvironmentView> {
    const environment = scenes.environment(added.name, added.kind, {
      loginUrl: added.loginUrl,
      clientId: added.clientId ?? 'shadow-sync-demo',
    });
    this.#scene.environments = [...this.#scene.environments, environment];
    await this.useEnvironment(environment.name);
    return environment;
  }

  async useEnvironment(name: string): Promise<void> {
    await scenes.pause(300);
    if (this.#scene.name === 'database-down') throw scenes.databaseDown;
    this.#scene.environments = this.#scene.environments.map((one) => ({ ...one, isOpen: one.name === name }));
    this.#scene.signedIn = false;
    this.#heard(['environments', 'status', 'signIn', 'jobs', 'counts']);
  }

  async removeEnvironment(name: string): Promise<void> {
    this.#scene.environments = this.#scene.environments.filter((one) => one.name !== name);
    this.#heard(['environments', 'status']);
  }

  async lookAround(): Promise<void> {
    await scenes.pause(600);
    this.#scene = scenes.scene('empty');
    this.#heard(['environments', 'status', 'signIn', 'jobs', 'counts', 'audit']);
  }

  async signIn(): Promise<void> {
    this.#scene.signIn = {
      state: 'waitingForBrowser',
      authorizeUrl: scenes.authorizeUrl,
      since: scenes.at(0),
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
    await scenes.pause(800);
    return scenes.preflight;
  }

  async planBackfill(objects: string[]): Promise<BackfillPlan> {
    await scenes.pause(400);
    return scenes.plan(objects);
  }

  async startBackfill(objects: string[]): Promise<void> {
    this.#scene.jobs = [...objects.map((object) => scenes.startedJob(object)), ...this.#scene.jobs];
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
    setTimeout(() => this.#change(id, { state: 'cancelled', stage: 'ended', endedAt: scenes.at(0) }), 1200);
  }

  async counts(): Promise<CountsView> {
    return scenes.counts(this.#scene);
  }

  async countNow(): Promise<CountsView> {
    await scenes.pause(900);
    this.#scene.countedAt = Date.now();
    this.#heard(['counts']);
    return scenes.counts(this.#scene);
  }

  async consentRemovals(id: string): Promise<void> {
    this.#change(id, { removalsWaiting: 0 });
  }

  async rejects(object: string | null): Promise<RejectsView> {
    await scenes.pause(150);
    return scenes.rejects(object);
  }

  async retryRejects(): Promise<number> {
    await scenes.pause(500);
    this.#heard(['rejects']);
    return 0;
  }

  async audit(): Promise<AuditView[]> {
    return this.#scene.jobs.length > 0 ? scenes.audit : [];
  }

  async openInBrowser(): Promise<void> {
    await scenes.pause(50);
  }

  #change(id: string, change: Partial<JobView>): void {
    this.#scene.jobs = this.#scene.jobs.map((job) => (job.id === id ? { ...job, ...change } : job));
    this.#heard(['jobs']);
  }

  #tick(): void {
    const running = this.#scene.jobs.some((job) => job.state === 'running');
    if (!running || this.#scene.frozen) return;
    this.#scene.jobs = this.#scene.jobs.map((job) => (job.state === 'running' ? scenes.advance(job) : job));
    this.#heard(['jobs']);
  }
}
