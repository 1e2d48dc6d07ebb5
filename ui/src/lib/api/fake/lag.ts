/** Samples of lag, events, backlog and failures: six quiet hours with a price load, and an outage that was bridged. */
import type { LagMark, LagSeries, OutageView } from '../shapes';
import { lagOf } from './live';
import { objects } from './org';
import type { Scene } from './scene';

const MINUTE = 60_000;

/** Noise that is the same each time. */
function noise(index: number, salt: number): number {
  const value = Math.sin(index * 12.9898 + salt * 78.233) * 43_758.5453;
  return value - Math.floor(value);
}

/** Minutes before now between which the stream was down. */
const DOWN = { from: 170, until: 146 };
const LOAD = { at: 282, width: 8 };

function lagAt(scene: Scene, minutesAgo: number, index: number, salt: number): number {
  const quiet = 900 + noise(index, salt) * 900;
  if (scene.stream === 'down' && salt === 1 && minutesAgo < 18.4) return (18.4 - minutesAgo) * MINUTE;
  const load = Math.abs(minutesAgo - LOAD.at);
  if (load < LOAD.width) return quiet + (1 - load / LOAD.width) * 12_000;
  if (minutesAgo <= DOWN.from && minutesAgo > DOWN.until) return (DOWN.from - minutesAgo) * MINUTE + quiet;
  const after = DOWN.until - minutesAgo;
  const bridge = salt === 1 ? 10 : 4;
  if (after >= 0 && after < bridge) return 24 * MINUTE * (1 - after / bridge) + quiet;
  return quiet;
}

export function lag(scene: Scene, from: number, until: number, points: number): LagSeries {
  const stepMs = Math.max(1000, Math.round((until - from) / points / 1000) * 1000);
  const count = Math.floor((until - from) / stepMs);
  const times = Array.from({ length: count }, (_, index) => from + index * stepMs);
  const now = Date.now();
  const minutesAgo = (time: number) => (now - time) / MINUTE;
  const isDown = (time: number) => minutesAgo(time) <= DOWN.from && minutesAgo(time) > DOWN.until;
  const empty = scene.stream === 'none';
  const perPoint = stepMs / MINUTE;
  const rate = (time: number, index: number) => {
    if (isDown(time)) return 0;
    const ago = minutesAgo(time);
    const load = Math.max(0, 1 - Math.abs(ago - LOAD.at) / LOAD.width) * 1_050;
    const bridge = ago <= DOWN.until && ago > DOWN.until - 4 ? 640 * (1 - (DOWN.until - ago) / 4) : 0;
    return Math.round((40 + noise(index, 7) * 30 + load + bridge) * perPoint);
  };
  const backlogAt = (time: number) => {
    const after = DOWN.until - minutesAgo(time);
    if (after >= 0 && after < 5) return Math.round(1_932 * (1 - after / 5));
    return Math.round(Math.max(0, 1 - Math.abs(minutesAgo(time) - LOAD.at) / LOAD.width) * 280);
  };
  const order = ['PricebookEntry', ...objects.filter((object) => object !== 'PricebookEntry')];
  const received = empty ? [] : times.map(rate);
  const outage: OutageView = {
    from: new Date(now - DOWN.from * MINUTE).toISOString(),
    until: new Date(now - DOWN.until * MINUTE).toISOString(),
    title: 'Stream down 24 min',
    detail: 'No route to api.pubsub. Bridged from the checkpoint: 1,932 events, 0 missed',
  };
  const ongoing: OutageView = {
    from: new Date(now - lagOf(scene, 'PricebookEntry')).toISOString(),
    until: null,
    title: 'PricebookEntry stands still',
    detail: 'topic.not.found: it is no longer among the selected entities',
  };
  const mark = (
    ago: number,
    kind: LagMark['kind'],
    text: string,
    agrees: boolean | null = null,
  ): LagMark => ({
    at: new Date(now - ago * MINUTE).toISOString(),
    kind,
    text,
    agrees,
  });
  const marks = [
    mark(267, 'verification', 'Counts of 3 objects agree', true),
    mark(214, 'backfill', 'Backfill of Product2'),
    mark(145, 'catchUp', 'Catch-up of 24 min'),
    mark(132, 'verification', 'Counts of 3 objects agree', true),
    mark(27, 'verification', 'Counts of 3 objects agree', true),
  ];
  const isShown = (time: number) => time >= from && time <= until;
  return {
    from: new Date(from).toISOString(),
    until: new Date(until).toISOString(),
    stepMs,
    times: empty ? [] : times,
    objects: empty
      ? []
      : order.map((object, salt) => ({
          object,
          lagMs: times.map((time, index) => Math.round(lagAt(scene, minutesAgo(time), index, salt + 1))),
        })),
    received,
    applied: received,
    backlog: empty ? [] : times.map(backlogAt),
    failures: empty
      ? []
      : [
          { stage: 'connect', counts: times.map((time, index) => (isDown(time) ? 1 + (index % 2) : 0)) },
          {
            stage: 'apply',
            counts: times.map((time) => (Math.abs(minutesAgo(time) - 48) < perPoint / 2 ? 1 : 0)),
          },
          { stage: 'fetch', counts: times.map(() => 0) },
        ],
    outages: empty
      ? []
      : [outage, ...(scene.stream === 'down' ? [ongoing] : [])].filter(
          (one) => Date.parse(one.until ?? new Date(now).toISOString()) >= from,
        ),
    marks: empty ? [] : marks.filter((one) => isShown(Date.parse(one.at))),
  };
}
