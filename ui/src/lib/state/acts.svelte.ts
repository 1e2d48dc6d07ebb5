import { getContext, setContext } from 'svelte';
import type { Problem } from '$lib/api/shapes';
import { counted } from '$lib/format/count';
import type { Console } from './console.svelte';
import { Flushes } from './flushes.svelte';

const CONTEXT = Symbol('acts');

/** Something a person can do from a button, the palette or a key: one place decides whether it can be done now. */
export interface Act {
  run: () => void;
  /** Why it cannot be done now; false when it can. */
  hindered: () => string | false;
  isBusy: () => boolean;
}

/** The acts that several places offer. */
export class Acts {
  /** The plan of a backfill is open, for these objects. */
  planning = $state.raw<string[]>();
  #counting = $state(false);
  #catchingUp = $state(false);
  #refreshing = $state(false);
  #pausing = $state(false);
  #holding = $state(false);
  readonly flushes: Flushes;

  constructor(private readonly app: Console) {
    this.flushes = new Flushes(app);
  }

  readonly backfill: Act = {
    run: () => (this.planning = this.app.status.data?.objects.map((object) => object.object) ?? []),
    hindered: () => this.#hindered() || (this.app.running.length > 0 && 'A backfill is running'),
    isBusy: () => false,
  };

  readonly count: Act = {
    run: () => void this.#count(),
    hindered: () => this.#hindered(),
    isBusy: () => this.#counting,
  };

  readonly catchUp: Act = {
    run: () =>
      void this.#start(
        'Catch up',
        (is) => (this.#catchingUp = is),
        () => this.app.api.startCatchUp([]),
      ),
    hindered: () => this.#hindered() || this.#notLoaded(),
    isBusy: () => this.#catchingUp,
  };

  readonly refreshFormulas: Act = {
    run: () =>
      void this.#start(
        'Refresh formulas',
        (is) => (this.#refreshing = is),
        () => this.app.api.refreshFormulas([]),
      ),
    hindered: () => this.#hindered() || this.#notLoaded(),
    isBusy: () => this.#refreshing,
  };

  /** Pauses all work on the environment, or lets it go on. */
  readonly pause: Act = {
    run: () => void this.#pauseOrResume(),
    hindered: () => (this.app.status.data?.stream ? false : 'There is no stream'),
    isBusy: () => this.#pausing,
  };

  /** Holds back the deletion of cache keys, or lets it go on. */
  readonly hold: Act = {
    run: () => void this.#holdOrRelease(),
    hindered: () =>
      !this.app.cache.data || this.app.cache.data.state === 'none' ? 'No cache in this environment' : false,
    isBusy: () => this.#holding,
  };

  /** Whether the catalogue's mending act is one that works from anywhere. */
  canMend(problem: Problem): boolean {
    return ['signIn', 'reconnect', 'openSettings', 'checkAgain'].includes(problem.act);
  }

  /** Does what the catalogue names as the mending act. */
  async mend(problem: Problem | undefined): Promise<unknown> {
    const name = this.app.environment?.name;
    switch (problem?.act) {
      case 'signIn':
        return this.app.act('Sign in', () => this.app.api.signIn());
      case 'reconnect':
        if (name) await this.app.act(`Open ${name}`, () => this.app.api.useEnvironment(name));
        return this.app.loadAll();
      case 'openSettings':
        return this.app.router.go('settings');
      default:
        return this.app.loadAll();
    }
  }

  #hindered(): string | false {
    const status = this.app.status.data;
    if (!status?.environment) return 'Open an environment first';
    if (status.database.state === 'failed') return 'The database does not answer';
    if (status.database.state !== 'ready') return 'The database is starting';
    if (!this.app.isSignedIn) return 'Sign in first';
    return false;
  }

  #notLoaded(): string | false {
    const isLoaded = this.app.status.data?.objects.some((object) => object.loadedAt);
    return isLoaded ? false : 'Nothing is loaded yet';
  }

  async #count(): Promise<void> {
    if (this.#counting) return;
    this.#counting = true;
    await this.app.act('Count', async () => {
      const counts = await this.app.api.countNow([]);
      await Promise.all([this.app.counts.load(), this.app.status.load()]);
      const differing = counts.counts.filter((count) => count.unexplained !== 0).length;
      const outcome = counts.agrees ? 'all agree' : `${counted(differing, 'object')} to look at`;
      this.app.toasts.show(`Counted ${counted(counts.counts.length, 'object')}: ${outcome}`, {
        text: 'Show',
        run: () => this.app.router.go('verify'),
      });
    });
    this.#counting = false;
  }

  async #start(words: string, isBusy: (is: boolean) => void, begin: () => Promise<void>): Promise<void> {
    isBusy(true);
    await this.app.act(words, async () => {
      await begin();
      this.app.toasts.show(`${words}: started`, { text: 'Show', run: () => this.app.router.go('backfill') });
    });
    isBusy(false);
  }

  async #pauseOrResume(): Promise<void> {
    if (this.#pausing) return;
    this.#pausing = true;
    const isPaused = this.app.status.data?.stream?.state === 'paused';
    await this.app.act(isPaused ? 'Resume' : 'Pause', async () => {
      await (isPaused ? this.app.api.resumeSync() : this.app.api.pauseSync());
      await this.app.status.load();
    });
    this.#pausing = false;
  }

  async #holdOrRelease(): Promise<void> {
    if (this.#holding) return;
    this.#holding = true;
    const isHeld = this.app.cache.data?.heldBy !== null;
    await this.app.act(isHeld ? 'Release invalidations' : 'Hold invalidations', async () => {
      await this.app.api.holdInvalidations(!isHeld);
      await this.app.cache.load();
    });
    this.#holding = false;
  }
}

export function provideActs(acts: Acts): Acts {
  return setContext(CONTEXT, acts);
}

export function useActs(): Acts {
  return getContext<Acts>(CONTEXT);
}
