import { asProblem } from '$lib/api/client';
import type { EventFilter, EventRow, EventsView, Problem } from '$lib/api/shapes';
import type { Look } from './resource.svelte';

/** Rows of one answer, and the most that the tail keeps. */
export const PAGE = 200;

export type Filters = Pick<EventFilter, 'object' | 'kind' | 'outcome' | 'record'>;
export const everything: Filters = { object: null, kind: null, outcome: null, record: null };

/**
 * The change log on screen, newest first. While it is not held it follows the newest events; while it is held it stands
 * still and counts what came since. Older pages are read when they are asked for.
 */
export class EventList {
  rows = $state.raw<EventRow[]>([]);
  filters = $state.raw<Filters>(everything);
  problem = $state.raw<Problem>();
  loadedAt = $state<number>();
  isHeld = $state(false);
  /** Events that came while the list was held. */
  waiting = $state(0);
  /** There may be more than were counted. */
  waitingMore = $state(false);
  isReading = $state(false);
  look = $derived.by((): Look => {
    if (this.problem) return this.loadedAt === undefined ? 'failed' : 'stale';
    return this.loadedAt === undefined ? 'loading' : 'ready';
  });
  hasMore = $derived.by(() => this.#next !== null);

  #next = $state<number | null>(null);
  #ask: (filter: EventFilter) => Promise<EventsView>;
  #generation = 0;
  #refreshing = false;
  #again = false;

  constructor(ask: (filter: EventFilter) => Promise<EventsView>) {
    this.#ask = ask;
  }

  /** Shows other events: from the newest, whatever was held. */
  filter(filters: Filters): void {
    this.filters = filters;
    this.#generation += 1;
    this.rows = [];
    this.loadedAt = undefined;
    this.problem = undefined;
    this.#forgetWaiting();
    void this.refresh();
  }

  /** Something came: follows it, or counts it while held. Never two questions at once. */
  async refresh(): Promise<void> {
    if (this.#refreshing) {
      this.#again = true;
      return;
    }
    this.#refreshing = true;
    do {
      this.#again = false;
      await this.#askNewest();
    } while (this.#again);
    this.#refreshing = false;
  }

  /** Holds the list, or lets it go on with the newest. */
  hold(isHeld: boolean): void {
    if (this.isHeld === isHeld) return;
    this.isHeld = isHeld;
    if (!isHeld) {
      this.#forgetWaiting();
      void this.refresh();
    }
  }

  /** Reads the next older page. */
  async more(): Promise<void> {
    if (this.isReading || this.#next === null) return;
    this.isReading = true;
    const generation = this.#generation;
    try {
      const page = await this.#ask({ ...this.filters, after: this.#next, limit: PAGE });
      if (generation === this.#generation) {
        this.rows = [...this.rows, ...page.events];
        this.#next = page.next;
      }
    } catch (thrown) {
      if (generation === this.#generation) this.problem = asProblem(thrown);
    }
    this.isReading = false;
  }

  async #askNewest(): Promise<void> {
    const generation = this.#generation;
    try {
      const page = await this.#ask({ ...this.filters, after: null, limit: PAGE });
      if (generation !== this.#generation) {
        this.#again = true;
        return;
      }
      this.#take(page);
      this.loadedAt = Date.now();
      this.problem = undefined;
    } catch (thrown) {
      if (generation === this.#generation) this.problem = asProblem(thrown);
    }
  }

  #take(page: EventsView): void {
    const newest = this.rows[0]?.position;
    if (!this.isHeld || newest === undefined) {
      this.rows = page.events;
      this.#next = page.next;
      return;
    }
    const fresh = page.events.filter((row) => row.position > newest).length;
    this.waiting = fresh;
    this.waitingMore = fresh === page.events.length && page.next !== null;
    // What is on screen keeps its place, but may have been dealt with meanwhile.
    const known = new Map(page.events.map((row) => [keyOf(row), row]));
    this.rows = this.rows.map((row) => known.get(keyOf(row)) ?? row);
  }

  #forgetWaiting(): void {
    this.waiting = 0;
    this.waitingMore = false;
  }
}

/** What tells rows apart: an event that names several records has one row for each. */
export function keyOf(row: EventRow): string {
  return `${row.position} ${row.recordId ?? ''}`;
}
