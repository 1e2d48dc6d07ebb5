import type { FlushPlan, FlushScope, FlushView, Problem } from '$lib/api/shapes';
import { asProblem } from '$lib/api/client';
import { isEverything, patternOf, scopeWords } from '$lib/components/cache/words';
import type { Console } from './console.svelte';

/** The engine asks for the environment's name: the plan, which has a field for it, was not seen yet. */
const NAME_MISSING = 'SS-8023';

/** A dialog that shows what a flush would delete. */
export interface Planning {
  scope: FlushScope;
  /** Somebody only wants to see it. */
  isPreview: boolean;
}

/** What a template or pattern holds, as far as it was counted. */
export interface KeyCount {
  plan?: FlushPlan;
  problem?: Problem;
  at: number;
}

/** Flushes by hand: one click outside production, the plan first where it is asked for; and what came of them. */
export class Flushes {
  /** The plan on screen. */
  planning = $state.raw<Planning>();
  /** Keys by pattern. */
  counts = $state.raw(new Map<string, KeyCount>());
  isCounting = $state(false);
  /** Scopes that are being started. */
  #starting = $state.raw<string[]>([]);
  /** Flushes that were started in this window and whose line of result nobody closed yet. */
  #own = $state.raw<string[]>([]);
  /** What the engine said of a flush before the list knows it. */
  #begun = $state.raw<FlushView>();
  /** The environment whose keys were counted. */
  #countedIn = $state<string>();

  constructor(private readonly app: Console) {}

  #all = $derived.by((): FlushView[] => {
    const listed = this.app.flushes.data ?? [];
    const begun = this.#begun;
    return begun && !listed.some((one) => one.id === begun.id) ? [begun, ...listed] : listed;
  });
  /** Running flushes, and those of this window that ended, newest first: one line each. */
  lines = $derived.by(() => this.#all.filter((one) => one.state === 'running' || this.#own.includes(one.id)));

  /** Why nothing can be flushed now. */
  hindered(): string | false {
    const status = this.app.status.data;
    if (!status?.environment) return 'Open an environment first';
    if (status.database.state === 'failed') return 'The database does not answer';
    if (status.database.state !== 'ready') return 'The database is starting';
    const cache = this.app.cache.data;
    if (!cache) return this.app.cache.problem ? 'The cache cannot be asked' : 'The cache is being asked';
    if (cache.state === 'none') return 'No cache in this environment';
    if (cache.state === 'down') return 'The cache does not answer';
    return false;
  }

  /** Whether the plan comes first: in production, and for a pattern that matches everything. */
  asksFirst(scope: FlushScope): boolean {
    const isProduction = this.app.environment?.kind === 'production';
    return isProduction || (scope.kind === 'pattern' && isEverything(scope.pattern));
  }

  isBusy(scope: FlushScope): boolean {
    return this.#starting.includes(scopeWords(scope));
  }

  /** One click: starts at once, or opens the plan where that comes first. */
  async run(scope: FlushScope): Promise<void> {
    if (this.asksFirst(scope)) this.planning = { scope, isPreview: false };
    else await this.start(scope, null);
  }

  /** Shows what a flush would delete; deletes nothing. */
  preview(scope: FlushScope): void {
    this.planning = { scope, isPreview: true };
  }

  /** Starts a flush; answers with it, or with nothing where it was refused. */
  async start(scope: FlushScope, confirm: string | null): Promise<FlushView | undefined> {
    const words = scopeWords(scope);
    if (this.#starting.includes(words)) return undefined;
    this.#starting = [...this.#starting, words];
    let started: FlushView | undefined;
    await this.app.act(`Flush ${words}`, async () => {
      try {
        started = await this.app.api.startFlush(scope, confirm);
      } catch (thrown) {
        if (confirm !== null || asProblem(thrown).code !== NAME_MISSING) throw thrown;
        this.planning = { scope, isPreview: false };
        return;
      }
      this.#begun = started;
      this.#own = [...this.#own, started.id];
      await this.app.flushes.load();
    });
    this.#starting = this.#starting.filter((one) => one !== words);
    return started;
  }

  async stop(id: string): Promise<void> {
    await this.app.act('Stop the flush', async () => {
      await this.app.api.stopFlush(id);
      await this.app.flushes.load();
    });
  }

  /** Takes a line of result off the screen. */
  close(id: string): void {
    this.#own = this.#own.filter((one) => one !== id);
  }

  /** Takes the lines of flushes off the screen that were done or stopped. */
  closeEnded(): void {
    const ended = this.lines.filter((one) => one.state === 'done' || one.state === 'stopped');
    this.#own = this.#own.filter((id) => !ended.some((one) => one.id === id));
  }

  /** A flush by its id. */
  find(id: string | undefined): FlushView | undefined {
    return this.#all.find((one) => one.id === id);
  }

  /** Counts the keys of these templates and patterns, one after the other. */
  async count(templates: string[]): Promise<void> {
    if (this.isCounting) return;
    this.isCounting = true;
    const environment = this.app.environment?.name;
    for (const template of templates) {
      const pattern = patternOf(template);
      let counted: KeyCount;
      try {
        counted = { plan: await this.app.api.previewFlush({ kind: 'pattern', pattern }), at: Date.now() };
      } catch (thrown) {
        counted = { problem: asProblem(thrown), at: Date.now() };
      }
      if (environment !== this.app.environment?.name) break;
      this.#forgetOthers(environment);
      this.counts = new Map(this.counts).set(pattern, counted);
    }
    this.isCounting = false;
  }

  /** What was counted in the open environment. */
  countOf(template: string): KeyCount | undefined {
    return this.#countedIn === this.app.environment?.name ? this.counts.get(patternOf(template)) : undefined;
  }

  #forgetOthers(environment: string | undefined): void {
    if (this.#countedIn === environment) return;
    this.#countedIn = environment;
    this.counts = new Map();
  }
}
