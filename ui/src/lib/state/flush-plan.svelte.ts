import type { FlushPlan, FlushScope, Problem } from '$lib/api/shapes';
import { asProblem } from '$lib/api/client';

/** A count older than this is no longer what would be deleted. */
export const FRESH_MS = 60_000;

export type PlanLook = 'counting' | 'ready' | 'outdated' | 'failed';

/** What a flush would delete, counted when it is asked for, and too old after a minute. */
export class CountedPlan {
  plan = $state.raw<FlushPlan>();
  problem = $state.raw<Problem>();
  countedAt = $state<number>();
  isCounting = $state(false);

  #ask: (scope: FlushScope) => Promise<FlushPlan>;
  #now: () => number;

  constructor(
    readonly scope: FlushScope,
    ask: (scope: FlushScope) => Promise<FlushPlan>,
    now: () => number,
  ) {
    this.#ask = ask;
    this.#now = now;
  }

  look = $derived.by((): PlanLook => {
    if (this.isCounting) return 'counting';
    if (this.problem) return 'failed';
    if (this.countedAt === undefined) return 'counting';
    return this.#now() - this.countedAt > FRESH_MS ? 'outdated' : 'ready';
  });

  async count(): Promise<void> {
    if (this.isCounting) return;
    this.isCounting = true;
    try {
      this.plan = await this.#ask(this.scope);
      this.countedAt = this.#now();
      this.problem = undefined;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
    this.isCounting = false;
  }

  /** Whether the name of the environment must be typed before it is flushed. */
  needsName(isProduction: boolean): boolean {
    return this.plan?.needsName ?? isProduction;
  }
}
