import { getContext, setContext } from 'svelte';
import type {
  AuditView,
  CacheView,
  CountsView,
  DeadLettersView,
  EnvironmentView,
  FlagView,
  FlushView,
  HoleView,
  JobView,
  Problem,
  StatusView,
  View,
} from '$lib/api/shapes';
import { asProblem, type Api } from '$lib/api/client';
import { Appearance } from './appearance.svelte';
import { Clock } from './clock.svelte';
import { gather } from './gather';
import { Resource } from './resource.svelte';
import { Router } from './router.svelte';
import { Toasts } from './toasts.svelte';

const CONTEXT = Symbol('console');

/** A busy stream says more often that something is stale than anybody can look. */
const GATHER_MS = 250;

/** What the whole window shares: the engine, what it last said, and where the reader is. */
export class Console {
  readonly router = new Router();
  readonly clock = new Clock();
  readonly appearance = new Appearance();
  readonly toasts = new Toasts();

  readonly status: Resource<StatusView>;
  readonly environments: Resource<EnvironmentView[]>;
  readonly jobs: Resource<JobView[]>;
  readonly counts: Resource<CountsView>;
  readonly audit: Resource<AuditView[]>;
  readonly deadLetters: Resource<DeadLettersView>;
  readonly holes: Resource<HoleView[]>;
  readonly flags: Resource<FlagView[]>;
  readonly cache: Resource<CacheView>;
  readonly flushes: Resource<FlushView[]>;

  /** The wizard is on screen; `skipping` it needs an environment. */
  wizard = $state<'closed' | 'choose' | 'connect'>('closed');
  /** An act that failed, with the problem in the way; shown over the page until closed. */
  failed = $state.raw<{ act: string; problem: Problem }>();

  environment = $derived.by(() => this.status.data?.environment ?? undefined);
  isSignedIn = $derived.by(() => this.status.data?.signIn.state === 'signedIn');
  isSimulated = $derived.by(() => this.environment?.isSimulated ?? false);
  running = $derived.by(() => this.jobs.data?.filter(isActive) ?? []);

  #listeners = new Map<View, Set<() => void>>();

  constructor(readonly api: Api) {
    this.status = new Resource(
      () => api.status(),
      () => this.clock.tell(),
    );
    this.environments = new Resource(() => api.environments());
    this.jobs = new Resource(() => api.jobs());
    this.counts = new Resource(() => api.counts());
    this.audit = new Resource(() => api.audit());
    this.deadLetters = new Resource(() => api.deadLetters());
    this.holes = new Resource(() => api.holes());
    this.flags = new Resource(() => api.flags());
    this.cache = new Resource(() => api.cache());
    this.flushes = new Resource(
      () => api.flushes(),
      () => this.clock.tell(),
    );
    this.onStale(
      [
        'status',
        'signIn',
        'jobs',
        'counts',
        'environments',
        'stream',
        'schedules',
        'quota',
        'holes',
        'deadLetters',
      ],
      () => void this.status.load(),
    );
    this.onStale(['environments'], () => void this.environments.load());
    this.onStale(['jobs'], () => void this.jobs.load());
    this.onStale(['counts', 'rejects'], () => void this.counts.load());
    this.onStale(['audit'], () => void this.audit.load());
    this.onStale(['deadLetters'], () => void this.deadLetters.load());
    this.onStale(['holes'], () => void this.holes.load());
    this.onStale(['flags'], () => void this.flags.load());
    this.onStale(['cache'], () => {
      void this.cache.load();
      void this.flushes.load();
    });
  }

  /** Asks for everything and listens for what goes stale. */
  async start(): Promise<void> {
    void this.api.listen(gather(GATHER_MS, (stale: Set<View>) => this.#reload(stale)));
    void this.loadAll();
    await this.environments.load();
    if (this.environments.data?.length === 0) this.wizard = 'choose';
  }

  /** Calls back whenever one of the views goes stale; answers with the function that ends it. */
  onStale(views: View[], reload: () => void): () => void {
    for (const view of views) {
      const listeners = this.#listeners.get(view) ?? new Set();
      this.#listeners.set(view, listeners.add(reload));
    }
    return () => views.forEach((view) => this.#listeners.get(view)?.delete(reload));
  }

  /** Does something a person asked for. A failure is shown with its cure; answers whether it worked. */
  async act(words: string, run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run();
      if (this.failed?.act === words) this.failed = undefined;
      return true;
    } catch (thrown) {
      this.failed = { act: words, problem: asProblem(thrown) };
      return false;
    }
  }

  /** Opens another environment; nothing of the old one stays on screen. */
  async open(name: string): Promise<void> {
    if (this.environment?.name === name) return;
    this.failed = undefined;
    await this.act(`Open ${name}`, () => this.api.useEnvironment(name));
    await this.reload();
  }

  /** Forgets what was said of the environment before and asks again. */
  async reload(): Promise<void> {
    for (const resource of [this.status, ...this.#ofEnvironment]) resource.forget();
    // What is in the database waits until the database answers; the frame does not.
    void this.loadAll();
    await Promise.all([this.status.load(), this.environments.load()]);
  }

  /** Asks for everything again; data stays on screen meanwhile. */
  async loadAll(): Promise<void> {
    const asked = [this.status, this.environments, ...this.#ofEnvironment];
    await Promise.all(asked.map((resource) => resource.load()));
  }

  /** What is read from the environment's database. */
  get #ofEnvironment(): Resource<unknown>[] {
    const { jobs, counts, audit, deadLetters, holes, flags, cache, flushes } = this;
    return [jobs, counts, audit, deadLetters, holes, flags, cache, flushes];
  }

  #reload(stale: Set<View>): void {
    const reloads = new Set([...stale].flatMap((view) => [...(this.#listeners.get(view) ?? [])]));
    for (const reload of reloads) reload();
  }
}

/** Whether a job still has something to do without a person. */
export function isActive(job: JobView): boolean {
  return ['pending', 'running', 'pausing', 'cancelling'].includes(job.state);
}

export function provideConsole(value: Console): Console {
  return setContext(CONTEXT, value);
}

export function useConsole(): Console {
  return getContext<Console>(CONTEXT);
}
