/** Counts and status of a scene. */
import type { CountView, CountsView, ObjectStatus, SignInState, StatusView } from '../shapes';
import { view as cacheView } from './cache';
import { at } from './clock';
import { liveObject, liveStatus } from './live';
import { objects, org, sizes, tables } from './org';
import { databaseDown, topicGone } from './problems';
import type { Scene } from './scene';

function countOf(scene: Scene, object: string): CountView {
  const salesforce = sizes[object] ?? 0;
  const rejected = object === 'Product2' ? 3 : 0;
  const isShort = scene.name === 'differs' || scene.stream === 'down';
  const missing = isShort && object === 'PricebookEntry' ? 37 : 0;
  const counted = new Date(scene.countedAt).toISOString();
  const loaded = scene.jobs.some((one) => one.object === object && one.state === 'done');
  return {
    object,
    table: tables[object] ?? '',
    salesforce: loaded || scene.name === 'running' ? salesforce : null,
    salesforceAt: loaded ? counted : null,
    shadow: loaded ? salesforce - rejected - missing : 0,
    shadowAt: loaded ? counted : null,
    rejected: loaded ? rejected : 0,
    unexplained: loaded ? missing : null,
    tookMs: 240,
    problem: null,
  };
}

export function counts(scene: Scene): CountsView {
  const all = objects.map((object) => countOf(scene, object));
  return { counts: all, agrees: all.every((count) => count.unexplained === 0), apiCalls: 3 };
}

function liveHealth(scene: Scene): ObjectStatus['health'] {
  const healths = {
    live: 'live',
    quiet: 'live',
    behind: 'late',
    down: 'live',
    paused: 'paused',
    none: 'countsAgree',
  } as const;
  return healths[scene.stream];
}

function objectStatus(scene: Scene, object: string): ObjectStatus {
  const last = scene.jobs.find((one) => one.object === object) ?? null;
  const count = countOf(scene, object);
  const loadedAt = scene.jobs.find((one) => one.object === object && one.state === 'done')?.endedAt ?? null;
  const isDown = scene.stream === 'down' && object === 'PricebookEntry';
  const health = isDown
    ? 'failing'
    : last?.state === 'running'
      ? 'backfilling'
      : last?.state === 'paused'
        ? 'paused'
        : last?.state === 'failed'
          ? 'failing'
          : loadedAt === null
            ? 'notLoaded'
            : count.unexplained === 0
              ? liveHealth(scene)
              : 'differs';
  return {
    object,
    table: tables[object] ?? '',
    health,
    count,
    readyAt: loadedAt,
    loadedAt,
    job: last,
    problem: isDown ? topicGone : (last?.problem ?? null),
    ...liveObject(scene, object, loadedAt !== null),
  };
}

function words(scene: Scene, anyLoaded: boolean): [string, string] {
  if (!scene.signedIn)
    return ['Sign-in is needed.', 'Nobody is signed in to Salesforce; the shadow stands still.'];
  if (scene.stream === 'down')
    return [
      `Prices stand still since ${new Date(at(1106)).toTimeString().slice(0, 8)}.`,
      'PricebookEntry is 18 min 26 s behind and 37 records short. Product2 and Account are live.',
    ];
  if (scene.stream === 'behind')
    return [
      'The shadow is 7 min behind.',
      '1,410 events wait to be applied; the oldest for 7 min. The stream is live.',
    ];
  if (scene.stream === 'paused') return ['Sync is paused.', 'm.lindqvist paused it 12 min ago.'];
  if (scene.name === 'failing')
    return [
      'The backfill of PricebookEntry stopped.',
      'Its results are gone. Product2 and Account are loaded.',
    ];
  if (scene.name === 'differs')
    return ['37 of 1,204,118 price book entries are unexplained.', 'Product2 and Account agree.'];
  if (scene.jobs.some((one) => one.state === 'running'))
    return [
      'PricebookEntry is being loaded: 62 %.',
      'Product2 and Account are loaded and their counts agree.',
    ];
  if (!anyLoaded)
    return [
      'Nothing is loaded yet.',
      'A backfill fills the shadow tables; readers see nothing before it ends.',
    ];
  const cache = cacheWaits(scene);
  if (cache?.heldBy)
    return [
      `The deletion of cache keys is held back by ${cache.heldBy}.`,
      'See what waits with `shadow-sync cache`; `shadow-sync cache release` lets it go on.',
    ];
  if ((cache?.oldestMs ?? 0) > 60_000)
    return [
      `Cache keys wait to be deleted, the oldest for ${Math.floor((cache?.oldestMs ?? 0) / 60_000)} min.`,
      'See what is in the way with `shadow-sync cache`.',
    ];
  if (scene.stream === 'live' || scene.stream === 'quiet')
    return [
      'The shadow is live, and the counts agree.',
      'Every change of 3 objects has been applied. 3 rejected products wait for a SKU of their own.',
    ];
  return [
    'The counts agree.',
    'Every record of 3 objects is in the shadow or rejected with a reason. 3 rejected products wait for a SKU of their own.',
  ];
}

/** What of the cache the frame is told. */
function cacheWaits(scene: Scene): StatusView['cache'] {
  if (scene.cache.course === 'none') return null;
  const { waiting, heldBy } = cacheView(scene);
  const oldestMs = waiting.oldestSeconds === null ? null : waiting.oldestSeconds * 1000;
  return { waiting: waiting.orders, oldestMs, heldBy: heldBy?.who ?? null };
}

export function status(scene: Scene): StatusView {
  const environment = scene.environments.find((one) => one.isOpen) ?? null;
  const isDemo = environment?.isSimulated ?? false;
  const all = objects.map((object) => objectStatus(scene, object));
  all.sort((a, b) => Number(b.health === 'failing') - Number(a.health === 'failing'));
  const [statement, detail] = words(
    scene,
    all.some((one) => one.loadedAt !== null),
  );
  const signedIn: SignInState = {
    state: 'signedIn',
    org: isDemo
      ? { ...org, orgName: 'Nordlys Telecom', isSimulated: true, orgId: '00DSIM000000001AAA' }
      : org,
    flow: 'browser',
    kept: !isDemo,
  };
  return {
    environment,
    statement,
    detail,
    database:
      scene.name === 'database-down'
        ? { state: 'failed', problem: databaseDown, since: at(40) }
        : { state: 'ready', server: 'PostgreSQL 18.4, embedded' },
    signIn: scene.signIn ?? (scene.signedIn ? signedIn : { state: 'signedOut' }),
    boundTo: 'Halden Telecom (00D7Y000000kXqPUAU) as m.lindqvist@halden.example',
    objects: environment ? all : [],
    apiUsage: scene.signedIn ? org.apiUsage : null,
    problems: scene.name === 'database-down' ? [databaseDown] : [],
    worker: 'this console',
    deadLetters: all.reduce((sum, object) => sum + object.deadLetters, 0),
    cache: cacheWaits(scene),
    frozen: [],
    ...liveStatus(scene),
    at: new Date().toISOString(),
  };
}
