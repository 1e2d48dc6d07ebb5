import type { LagSeries, OutageView } from '$lib/api/shapes';

export interface LagSummary {
  medianMs: number | null;
  /** The 99th percentile of the points outside of outages. */
  p99LiveMs: number | null;
  worstMs: number | null;
  worstAt: number | null;
  /** Time within outages. */
  notLiveMs: number;
  received: number;
  applied: number;
}

/** The lag of the environment at each point: the greatest of its objects'. */
export function worstPerPoint(series: LagSeries): (number | null)[] {
  return series.times.map((_, index) => {
    const known = series.objects.map((object) => object.lagMs[index] ?? null).filter((ms) => ms !== null);
    return known.length > 0 ? Math.max(...known) : null;
  });
}

/** Where an outage lies within a span, as shares of it; nothing where it lies outside. */
export function outageSpan(
  outage: OutageView,
  from: number,
  until: number,
): { from: number; to: number } | undefined {
  const begin = Math.max(from, Date.parse(outage.from));
  const end = Math.min(until, outage.until === null ? until : Date.parse(outage.until));
  if (end <= begin) return undefined;
  return { from: (begin - from) / (until - from), to: (end - from) / (until - from) };
}

export function summarise(series: LagSeries): LagSummary {
  const from = Date.parse(series.from);
  const until = Date.parse(series.until);
  const spans = series.outages.flatMap((outage) => outageSpan(outage, from, until) ?? []);
  const worst = worstPerPoint(series);
  const isLive = (time: number) => {
    const share = (time - from) / (until - from);
    return !spans.some((span) => share >= span.from && share < span.to);
  };
  const known = worst.filter((ms) => ms !== null);
  const live = worst.filter((ms, index): ms is number => ms !== null && isLive(series.times[index] ?? 0));
  const worstMs = known.length > 0 ? Math.max(...known) : null;
  const worstIndex = worst.findIndex((ms) => ms !== null && ms === worstMs);
  return {
    medianMs: percentile(known, 0.5),
    p99LiveMs: percentile(live, 0.99),
    worstMs,
    worstAt: series.times[worstIndex] ?? null,
    notLiveMs: union(spans) * (until - from),
    received: total(series.received),
    applied: total(series.applied),
  };
}

function percentile(values: number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? null;
}

const total = (values: (number | null)[]) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0);

/** The share that is covered by at least one span: two outages at once are no double outage. */
function union(spans: { from: number; to: number }[]): number {
  let covered = 0;
  let reached = 0;
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    covered += Math.max(0, span.to - Math.max(reached, span.from));
    reached = Math.max(reached, span.to);
  }
  return covered;
}
