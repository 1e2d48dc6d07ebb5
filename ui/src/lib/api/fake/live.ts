/** What the live side of a scene says: stream, workers, schedules, flags, quota. */
import type {
  ComparisonView,
  FlagName,
  FlagView,
  HealthCheck,
  HoleView,
  ObjectStatus,
  QuotaView,
  ReplayView,
  ScheduleView,
  StatusView,
  StreamView,
  WorkerView,
} from '../shapes';
import { at } from './clock';
import { org } from './org';
import { topicGone } from './problems';
import type { Scene } from './scene';

type LiveObject = Omit<
  ObjectStatus,
  'object' | 'table' | 'health' | 'count' | 'readyAt' | 'loadedAt' | 'job' | 'problem'
>;
type LiveStatus = Pick<StatusView, 'stream' | 'workers' | 'quota' | 'schedules'>;

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** How far an object trails, in milliseconds. */
export function lagOf(scene: Scene, object: string): number {
  switch (scene.stream) {
    case 'live':
      return object === 'Account' ? 900 : 1_200;
    case 'quiet':
      return 130 * SECOND;
    case 'behind':
      return 7 * MINUTE;
    case 'down':
      return object === 'PricebookEntry' ? 18 * MINUTE + 26 * SECOND : 1_100;
    case 'paused':
      return 12 * MINUTE;
    case 'none':
      return 27 * MINUTE;
  }
}

/** What the engine would say that the health of an object is judged by. */
function checks(scene: Scene, object: string, isLoaded: boolean): HealthCheck[] {
  const isDown = scene.stream === 'down' && object === 'PricebookEntry';
  const isBehind = scene.stream === 'behind';
  const hasStream = scene.stream !== 'none';
  const letters = object === 'Product2' && scene.stream === 'live' ? 2 - scene.lettersGone.size : 0;
  const check = (
    name: string,
    state: HealthCheck['state'],
    text: string,
    bar: string,
    at: string | null = null,
  ): HealthCheck => ({ name, state, text, bar, at });
  const all = [
    hasStream
      ? check(
          'heard',
          isDown ? 'bad' : 'good',
          isDown ? '18 min ago' : '4 s ago',
          '≤ 330 s',
          at(isDown ? 1_106 : 4),
        )
      : check('heard', 'unknown', 'no stream yet', '≤ 330 s'),
    check(
      'stored',
      !hasStream ? 'unknown' : isDown ? 'late' : 'good',
      !hasStream ? 'no stream yet' : isDown ? '1 hole being closed' : 'nothing missed',
      'no hole',
    ),
    letters > 0
      ? check('applied', 'bad', `${letters} dead letters`, 'nothing waits')
      : check(
          'applied',
          !hasStream ? 'unknown' : isBehind ? 'bad' : 'good',
          !hasStream ? 'no stream yet' : isBehind ? '1410 wait, the oldest for 7 min' : 'all that was stored',
          'nothing waits',
        ),
    check('loaded', isLoaded ? 'good' : 'unknown', isLoaded ? 'completely' : 'never', 'once, completely'),
    check(
      'counted',
      isDown ? 'bad' : isLoaded ? 'good' : 'unknown',
      isDown ? '37 unexplained' : isLoaded ? 'nothing unexplained' : 'not yet',
      'none unexplained',
      isLoaded ? at(27 * 60) : null,
    ),
    check(
      'verified',
      'unknown',
      hasStream ? 'ids and stamps compared; values never' : 'never',
      'none differ',
      hasStream ? at(12.5 * 3_600) : null,
    ),
  ];
  if (scene.cache.course === 'none') return all;
  return all.toSpliced(3, 0, check('flushed', 'good', 'every key of what changed', '≤ 60 s'));
}

export function liveObject(scene: Scene, object: string, isLoaded: boolean): LiveObject {
  const lagMs = isLoaded ? lagOf(scene, object) : null;
  const isBehind = scene.stream === 'behind';
  const heardAgo = scene.stream === 'down' && object === 'PricebookEntry' ? 1_106 : 4;
  return {
    lagMs,
    liveThrough: lagMs === null ? null : at(lagMs / SECOND),
    backlogEvents: isBehind ? 1_410 : 0,
    backlogAgeMs: isBehind ? 7 * MINUTE : null,
    heardAt: scene.stream === 'none' ? null : at(scene.stream === 'paused' ? 720 : heardAgo),
    isConfirmed: true,
    comparedAt: scene.stream === 'none' ? null : at(12.5 * 3_600),
    checks: checks(scene, object, isLoaded),
    holes: scene.stream === 'down' && object === 'PricebookEntry' ? 1 : 0,
    dirty: object === 'PricebookEntry' && isBehind ? 14 : 0,
    deadLetters: object === 'Product2' && scene.stream === 'live' ? 2 - scene.lettersGone.size : 0,
    formulaLiveThrough: object === 'Account' ? at(4 * 86_400) : null,
    nextCatchUp: at(-11 * 3_600),
  };
}

function stream(scene: Scene): StreamView | null {
  if (scene.stream === 'none') return null;
  const failing = scene.stream === 'down';
  return {
    channel: '/data/ShadowSync__chn',
    state: failing ? 'failed' : scene.stream === 'paused' ? 'paused' : 'live',
    problem: failing ? topicGone : null,
    liveSince: failing ? null : at(5 * 3_600),
    retryAt: failing ? at(-120) : null,
    heardAt: at(failing ? 1_106 : scene.stream === 'quiet' ? 128 : 4),
    replayId: '00000000007bcf1f0000',
    worker: 'this console',
    isHere: true,
    backlogEvents: scene.stream === 'behind' ? 1_410 : 0,
    backlogAgeMs: scene.stream === 'behind' ? 7 * MINUTE : null,
    channels: [],
  };
}

function workers(scene: Scene): WorkerView[] {
  const own: WorkerView = {
    id: 'w1',
    hostKind: 'console',
    holder: 'this console',
    startedAt: at(5.8 * 3_600),
    seenAt: at(1),
    role: 'leader',
    streaming: scene.stream !== 'none' && scene.stream !== 'paused',
    isThis: true,
  };
  if (scene.name === 'quiet' || scene.name === 'demo' || scene.name === 'empty') return [own];
  const other = { ...own, id: 'w2', hostKind: 'daemon', isThis: false, streaming: false };
  return [own, { ...other, holder: 'shadow-sync on shop-db-1', role: 'standby', seenAt: at(2) }];
}

function quota(scene: Scene): QuotaView | null {
  const usage = org.apiUsage;
  if (!scene.signedIn || !usage) return null;
  return {
    used: usage.used,
    max: usage.max,
    ours: usage.ours,
    reserve: 0.2,
    ownShare: 0.2,
    purposes: [
      { purpose: 'fetch', calls: 1_904 },
      { purpose: 'catch-up', calls: 1_212 },
      { purpose: 'backfill', calls: 214 },
      { purpose: 'counts', calls: 82 },
    ],
    hours: [],
    exhaustedAt: null,
    stopped: [],
    limits: [],
    at: usage.at,
  };
}

export function schedules(scene: Scene): ScheduleView[] {
  const hasRun = scene.stream !== 'none';
  return [
    {
      kind: 'catch-up',
      title: 'Catch-up with id comparison',
      cron: '30 2 * * *',
      timeZone: 'Europe/Berlin',
      lastAt: hasRun ? at(12.5 * 3_600) : null,
      lastResult: hasRun ? '1,204 records read, 0 newer than the shadow' : null,
      nextAt: at(-11.5 * 3_600),
    },
    {
      kind: 'formulas',
      title: 'Formula refresh',
      cron: '0 3 * * 0',
      timeZone: 'Europe/Berlin',
      lastAt: hasRun ? at(4 * 86_400) : null,
      lastResult: hasRun ? '96,540 accounts read, 12 changed' : null,
      nextAt: at(-3 * 86_400),
    },
    {
      kind: 'retention',
      title: 'Retention: change log of 7 days',
      cron: '30 3 * * *',
      timeZone: 'UTC',
      lastAt: hasRun ? at(11.5 * 3_600) : null,
      lastResult: hasRun ? 'one day dropped' : null,
      nextAt: at(-12.5 * 3_600),
    },
  ];
}

export function liveStatus(scene: Scene): LiveStatus {
  return {
    stream: stream(scene),
    workers: workers(scene),
    quota: quota(scene),
    schedules: schedules(scene),
  };
}

export function flags(scene: Scene): FlagView[] {
  const flag = (name: FlagName, explanation: string, change: Partial<FlagView> = {}): FlagView => ({
    name,
    isOn: !scene.flagsOff.has(name),
    explanation,
    overriddenBy: null,
    setBy: null,
    setAt: null,
    trip: null,
    ...change,
  });
  const reads = scene.trip === null && !scene.flagsOff.has('shadow-reads');
  return [
    flag('event-consumer', 'Stored events are applied as they come.'),
    flag(
      'shadow-reads',
      scene.trip
        ? 'Readers were taken off the shadow and are served by Salesforce, until a person resets the trip.'
        : reads
          ? 'Readers are served from the shadow.'
          : 'Readers are served by Salesforce.',
      { isOn: reads, trip: scene.trip },
    ),
    flag(
      'compare-reads',
      scene.flagsOff.has('compare-reads')
        ? 'Answers are not held against Salesforce’s.'
        : 'Readers are served by Salesforce, and every answer is held against the shadow.',
    ),
  ];
}

/** What compare mode found within its ten minutes: nothing, or a little less or more than is accepted. */
export function comparison(scene: Scene): ComparisonView {
  const isCompared = scene.trip !== null || !scene.flagsOff.has('compare-reads');
  const [agreed, late, differed] = !isCompared ? [0, 0, 0] : scene.trip ? [968, 18, 14] : [2_381, 22, 1];
  const compared = agreed + late + differed;
  return {
    compared,
    agreed,
    late,
    differed,
    threshold: 0.01,
    windowSeconds: 600,
    sentence: `${compared} answers compared within 600 s: ${agreed} agreed, ${late} agreed moments later, ${differed} differed`,
    examples:
      differed === 0
        ? []
        : [{ at: at(410), question: 'prices', key: 'FBR-500-H', detail: 'unit_price, is_active' }],
  };
}

export function holes(scene: Scene): HoleView[] {
  if (scene.stream === 'none') return [];
  const closed: HoleView = {
    id: 'h1',
    object: 'PricebookEntry',
    channel: '/data/ShadowSync__chn',
    from: at(10_200),
    until: at(8_760),
    why: 'position-lost',
    explanation: 'Salesforce refused the saved position',
    openedAt: at(8_760),
    needs: 'catch-up',
    jobId: 'c-118',
    closedAt: at(8_500),
    closedHow: 'catch-up of 24 min and id comparison: 1,932 records read, 0 missed',
  };
  const first: HoleView = {
    ...closed,
    id: 'h0',
    object: 'Product2',
    from: null,
    until: at(20_000),
    why: 'first-position',
    explanation: 'Before the first position nothing was received',
    openedAt: at(20_000),
    closedAt: at(19_940),
    closedHow: 'backfill and id comparison',
  };
  if (scene.stream !== 'down') return [closed, first];
  return [
    {
      ...closed,
      id: 'h2',
      from: at(1_106),
      until: null,
      why: 'selection',
      explanation: 'The object was taken off the channel',
      openedAt: at(1_100),
      closedAt: null,
      closedHow: null,
      jobId: null,
    },
    closed,
    first,
  ];
}

export function replay(from: string | null, object: string | null, isPlan: boolean): ReplayView {
  const hours = Math.max(0, (Date.now() - Date.parse(from ?? at(7 * 86_400))) / 3_600_000);
  const events = Math.round(hours * (object ? 1_500 : 4_570));
  const differing = events > 0 ? 3 : 0;
  return {
    events,
    records: Math.round(events * 0.4),
    differing,
    unknownEvents: 0,
    marked: isPlan ? 0 : differing,
    apiCalls: differing > 0 ? 1 : 0,
    earliest: at(7 * 86_400),
    explanation: 'Records that disagree with what their events said last are fetched whole.',
    differences: ['01t7Y00000UkL5mQAF', '01u7Y00000hTuRDQA0', '0017Y00001aKq2bQAC']
      .slice(0, differing)
      .map((record, n) => ({
        object: ['Product2', 'PricebookEntry', 'Account'][n] ?? '',
        record,
        position: 8_114_100 + n,
        what: ['Name', 'UnitPrice', 'Internet_Eligibility__c'][n] ?? '',
      })),
  };
}
