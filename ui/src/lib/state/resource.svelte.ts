import type { Problem } from '$lib/api/shapes';
import { asProblem } from '$lib/api/client';

/** How something that was asked for looks: never answered, answered, answered once but not lately, never but failed. */
export type Look = 'loading' | 'ready' | 'stale' | 'failed';

/**
 * Something asked of the engine and asked again when it goes stale. Data stays on screen while it is asked again and
 * when asking fails; requests never overlap, and any number of calls during one request lead to one more.
 */
export class Resource<T> {
  data = $state.raw<T>();
  problem = $state.raw<Problem>();
  /** When `data` came, in milliseconds since the epoch. */
  loadedAt = $state<number>();
  asking = $state(false);
  look = $derived<Look>(
    this.problem
      ? this.data === undefined
        ? 'failed'
        : 'stale'
      : this.data === undefined
        ? 'loading'
        : 'ready',
  );

  #ask: () => Promise<T>;
  #answered: () => void;
  #again = false;
  #running: Promise<void> | undefined;
  #generation = 0;

  /** `answered` is called with each answer, so that what else it changes is drawn together with it. */
  constructor(ask: () => Promise<T>, answered: () => void = () => undefined) {
    this.#ask = ask;
    this.#answered = answered;
  }

  /** Asks. Resolves when the answer, or the last of several, is in. */
  load(): Promise<void> {
    this.#again = this.#running !== undefined;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #run(): Promise<void> {
    this.asking = true;
    do {
      this.#again = false;
      const generation = this.#generation;
      try {
        const data = await this.#ask();
        if (generation !== this.#generation) continue;
        this.#answered();
        this.data = data;
        this.loadedAt = Date.now();
        this.problem = undefined;
      } catch (thrown) {
        if (generation === this.#generation) this.problem = asProblem(thrown);
      }
    } while (this.#again);
    this.asking = false;
  }

  /** Forgets the answer: another environment was opened. An answer still on its way is dropped. */
  forget(): void {
    this.#generation += 1;
    this.#again = this.asking;
    this.data = undefined;
    this.problem = undefined;
    this.loadedAt = undefined;
  }
}
