import type { Api } from '$lib/api/client';
import type { LagSeries } from '$lib/api/shapes';
import { rangeMs, refreshMs, stepRange, type Range } from '$lib/components/lag/ranges';
import { Resource } from './resource.svelte';

/** As many points as a chart has pixels to spare for. */
const POINTS = 360;

/** What the Lag page shows: a range up to now, or a piece of it that somebody dragged out, and the crosshair. */
export class LagCharts {
  range = $state<Range>('6h');
  /** A dragged-out span, in milliseconds since the epoch. */
  zoom = $state.raw<{ from: number; until: number }>();
  readonly series: Resource<LagSeries>;
  /** The moment under the crosshair; none: the latest values are shown. */
  #crosshair = $state<number>();
  #now: () => number;

  constructor(api: Api, now: () => number) {
    this.#now = now;
    this.series = new Resource(() => {
      const { from, until } = this.span();
      return api.lag(new Date(from).toISOString(), new Date(until).toISOString(), POINTS);
    });
  }

  /** The span on screen when it is asked for. */
  span(): { from: number; until: number } {
    const until = this.#now();
    return this.zoom ?? { from: until - rangeMs(this.range), until };
  }

  /** The index of the point under the crosshair. */
  at = $derived.by((): number | null => {
    const times = this.series.data?.times;
    if (this.#crosshair === undefined || !times || times.length === 0) return null;
    return nearest(times, this.#crosshair);
  });

  /** The point whose values the headings show. */
  shown = $derived.by((): number => this.at ?? (this.series.data?.times.length ?? 0) - 1);

  get refreshMs(): number {
    const { from, until } = this.span();
    return refreshMs(until - from);
  }

  choose(range: Range): void {
    this.range = range;
    this.whole();
  }

  /** The next longer (+1) or shorter (−1) range. */
  step(by: number): void {
    this.choose(stepRange(this.range, by));
  }

  zoomTo(from: number, until: number): void {
    this.zoom = { from: Math.round(from), until: Math.round(until) };
    this.#crosshair = undefined;
    void this.series.load();
  }

  /** The whole range again, up to now. */
  whole(): void {
    this.zoom = undefined;
    this.#crosshair = undefined;
    void this.series.load();
  }

  point(index: number | null): void {
    this.#crosshair = index === null ? undefined : this.series.data?.times[index];
  }

  /** Moves the crosshair by points; from nowhere it begins at the latest. */
  move(by: number): void {
    const times = this.series.data?.times ?? [];
    if (times.length === 0) return;
    const next = this.at === null ? times.length - 1 : this.at + by;
    this.point(Math.min(times.length - 1, Math.max(0, next)));
  }
}

function nearest(times: number[], at: number): number {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  const before = times[low - 1];
  return before !== undefined && at - before < (times[low] ?? 0) - at ? low - 1 : low;
}
