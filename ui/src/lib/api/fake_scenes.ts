/** The data of the scripted engine: one plausible telecom org, in each state that a page must be able to show. */
import type {
  AuditView,
  BackfillPlan,
  CheckColour,
  CheckView,
  CountView,
  CountsView,
  EnvironmentKind,
  EnvironmentView,
  JobView,
  OrgView,
  PageView,
  PreflightView,
  Problem,
  RecognisedOrg,
  RejectView,
  RejectsView,
  SignInState,
  StatusView,
} from './shapes';

export interface Scene {
  name: string;
  environments: EnvironmentView[];
  signedIn: boolean;
  signIn: SignInState | undefined;
  jobs: JobView[];
  countedAt: number;
  /** Progress stands still, for pictures that can be compared. */
  frozen: boolean;
  statusFails: Problem | undefined;
  asked: number;
}

const started = Date.now();

/** A time relative to the start of the preview, as the engine writes times. */
export function at(secondsAgo: number): string {
  return new Date(started - secondsAgo * 1000).toISOString();
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export const authorizeUrl =
  'https://halden--uat.sandbox.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9k0Zb7Qh2rT1uYpW&code_challenge=Xq2…';

export function environment(
  name: string,
  kind: EnvironmentKind,
  change: Partial<EnvironmentView> = {},
): EnvironmentView {
  return {
    name,
    kind,
    loginUrl: kind === 'demo' ? 'http://127.0.0.1:8790' : 'https://halden--uat.sandbox.my.salesforce.com',
    clientId: kind === 'demo' ? 'shadow-sync-demo' : '3MVG9k0Zb7Qh2rT1uYpWc4xVn8sLfE6jDmA5oGtHwRzK.xQ7c',
    signIn: 'browser',
    redirectUrl: 'http://localhost:8717/oauth/callback',
    database: 'embedded',
    cache: null,
    isOpen: false,
    isSimulated: kind === 'demo',
    ...change,
  };
}

export const databaseDown: Problem = {
  code: 'SS-3001',
  title: 'The database does not answer',
  cause: 'Connecting to shop-db-1:5432 was refused. Nothing is lost: what Salesforce has can be read again.',
  mender: 'databaseAdmin',
  steps: ['See that PostgreSQL runs on shop-db-1 and accepts connections on port 5432.'],
  paste: null,
  act: 'reconnect',
  details: 'host=shop-db-1 port=5432 os error 111',
};

const jobExpired: Problem = {
  code: 'SS-4007',
  title: 'Salesforce no longer keeps the results of this job',
  cause: 'Results are kept for seven days. The rows merged so far stay; the rest has to be asked for again.',
  mender: 'you',
  steps: ['Start the backfill of PricebookEntry again: rows that are already equal are not written again.'],
  paste: null,
  act: 'resumeJob',
  details: 'job 7507Y00000QkB2cQAF page 6 status 404',
};

const redirectMismatch: Problem = {
  code: 'SS-1107',
  title: 'The redirect address is not registered',
  cause:
    'Salesforce answered redirect_uri_mismatch: its app does not list the address this console listens on.',
  mender: 'salesforceAdmin',
  steps: [
    'In Setup, open External Client App Manager, choose Shadow Sync, then Edit Settings.',
    'Under OAuth Settings, add this line to Callback URL and save. Salesforce may need 10 minutes.',
  ],
  paste: 'http://localhost:8717/oauth/callback',
  act: 'signIn',
  details: 'error=redirect_uri_mismatch',
};

const org: OrgView = {
  orgId: '00D7Y000000kXqPUAU',
  orgName: 'Halden Telecom',
  edition: 'Enterprise Edition',
  isSandbox: true,
  isSimulated: false,
  instanceUrl: 'https://halden--uat.sandbox.my.salesforce.com',
  apiVersion: '67.0',
  userId: '0057Y000003mLqPQAU',
  username: 'm.lindqvist@halden.example',
  currency: 'EUR',
  isMultiCurrency: false,
  apiUsage: { used: 61_208, max: 100_000, ours: 3_412, at: at(40) },
};

const sizes: Record<string, number> = { Product2: 8_412, PricebookEntry: 1_204_118, Account: 96_540 };
const tables: Record<string, string> = {
  Product2: 'sf_product_shadow',
  PricebookEntry: 'sf_pricebook_shadow',
  Account: 'sf_account_eligibility_shadow',
};
const objects = Object.keys(sizes);

function job(object: string, change: Partial<JobView>): JobView {
  const total = sizes[object] ?? 1000;
  return {
    id: `job-${object}-${change.startedAt ?? 'now'}`,
    object,
    state: 'done',
    stage: 'ended',
    bulkJobId: '7507Y00000QkB2cQAF',
    startedBy: 'm.lindqvist@halden.example',
    holder: null,
    startedAt: at(90),
    endedAt: at(49),
    total,
    done: total,
    rate: null,
    leftMs: null,
    tookMs: 41_000,
    pages: pagesOf(total, total),
    rows: { new: total, newer: 0, equal: 0, older: 0, rejected: 0, removed: 0 },
    apiCalls: 14,
    memoryBytes: null,
    samples: [],
    problem: null,
    removalsWaiting: 0,
    ...change,
  };
}

const PAGE = 50_000;

function pagesOf(total: number, done: number): PageView[] {
  return Array.from({ length: Math.ceil(total / PAGE) }, (_, index) => {
    const records = Math.min(PAGE, total - index * PAGE);
    const merged = Math.max(0, Math.min(records, done - index * PAGE));
    const isNext = index === Math.floor(done / PAGE) + 1;
    const state = merged === records ? 'merged' : merged > 0 ? 'merging' : isNext ? 'downloading' : 'waiting';
    return { number: index + 1, state, records, merged };
  });
}

function samplesUntil(ms: number): JobView['samples'] {
  return Array.from({ length: Math.floor(ms / 400) }, (_, index) => {
    const dip = index === 30 ? 14_000 : 0;
    return {
      atMs: index * 400,
      rate: index < 5 ? 5_000 + index * 900 : 32_000 + ((index * 7919) % 3_800) - dip,
    };
  });
}

export function startedJob(object: string): JobView {
  return job(object, {
    id: `job-${object}-${Date.now()}`,
    state: 'running',
    stage: 'loading',
    holder: 'this console',
    startedAt: new Date().toISOString(),
    endedAt: null,
    done: 0,
    tookMs: 0,
    pages: pagesOf(sizes[object] ?? 1000, 0),
    rows: { new: 0, newer: 0, equal: 0, older: 0, rejected: 0, removed: 0 },
    apiCalls: 3,
    memoryBytes: 118_000_000,
  });
}

/** Moves a running job on by one tick. */
export function advance(running: JobView): JobView {
  const total = running.total ?? 1;
  const done = Math.min(total, running.done + 13_160);
  const tookMs = running.tookMs + 400;
  const next = { ...running, done, tookMs, rate: 32_900, leftMs: ((total - done) / 32_900) * 1000 };
  const ended = done === total;
  return {
    ...next,
    ...(ended ? { state: 'done' as const, stage: 'ended' as const, endedAt: new Date().toISOString() } : {}),
    pages: pagesOf(total, done),
    rows: { ...running.rows, new: done - 3, rejected: Math.min(3, done) },
    samples: samplesUntil(tookMs),
    apiCalls: 3 + Math.floor(done / PAGE),
  };
}

function runningJob(): JobView {
  return job('PricebookEntry', {
    state: 'running',
    stage: 'loading',
    holder: 'this console',
    startedAt: at(24),
    endedAt: null,
    done: 742_880,
    rate: 32_900,
    leftMs: 14_020,
    tookMs: 24_000,
    pages: pagesOf(1_204_118, 742_880),
    rows: { new: 738_202, newer: 4_611, equal: 65, older: 0, rejected: 2, removed: 0 },
    apiCalls: 19,
    memoryBytes: 118_000_000,
    samples: samplesUntil(24_000),
  });
}

const doneJobs = (): JobView[] => [
  job('Account', { startedAt: at(130), endedAt: at(89), tookMs: 41_000 }),
  job('Product2', {
    startedAt: at(140),
    endedAt: at(134),
    tookMs: 6_000,
    rows: { new: 8_409, newer: 0, equal: 0, older: 0, rejected: 3, removed: 0 },
  }),
  job('PricebookEntry', {
    state: 'cancelled',
    startedAt: at(80_000),
    endedAt: at(79_988),
    startedBy: 'e.haugen@halden.example',
    done: 350_000,
    tookMs: 12_000,
    pages: pagesOf(1_204_118, 350_000),
  }),
];

function failedJob(): JobView {
  const pages = pagesOf(1_204_118, 742_880).map((page) =>
    page.number === 6 ? { ...page, state: 'failed' as const, merged: 0 } : page,
  );
  return {
    ...runningJob(),
    state: 'failed',
    rate: null,
    leftMs: null,
    endedAt: at(3),
    pages,
    problem: jobExpired,
  };
}

const loadedJobs = () => [job('PricebookEntry', { startedAt: at(85), endedAt: at(49) }), ...doneJobs()];

/** A scene by its name. */
export function scene(name: string): Scene {
  const staging = environment('halden-staging', 'staging', { isOpen: true });
  const production = environment('halden-production', 'production', {
    loginUrl: 'https://halden.my.salesforce.com',
  });
  const demo = environment('demo', 'demo', { isOpen: true });
  const base: Scene = {
    name,
    environments: [staging, production],
    signedIn: true,
    signIn: undefined,
    jobs: loadedJobs(),
    countedAt: started - 27 * 60_000,
    frozen: true,
    statusFails: undefined,
    asked: 0,
  };
  switch (name) {
    case 'first-run':
      return { ...base, environments: [], signedIn: false, jobs: [], frozen: false };
    case 'running':
      return { ...base, jobs: [runningJob(), ...doneJobs()] };
    case 'live':
      return { ...base, jobs: [runningJob(), ...doneJobs()], frozen: false };
    case 'paused':
      return {
        ...base,
        jobs: [{ ...runningJob(), state: 'paused', rate: null, leftMs: null }, ...doneJobs()],
      };
    case 'failing':
      return { ...base, jobs: [failedJob(), ...doneJobs()] };
    case 'differs':
      return base;
    case 'signed-out':
      return { ...base, signedIn: false };
    case 'sign-in-failed':
      return { ...base, signedIn: false, signIn: { state: 'failed', problem: redirectMismatch } };
    case 'database-down':
      return base;
    case 'stale':
      return { ...base, statusFails: databaseDown };
    case 'production':
      return {
        ...base,
        environments: [
          { ...staging, isOpen: false },
          { ...production, isOpen: true },
        ],
      };
    case 'empty':
      return { ...base, environments: [demo], jobs: [], frozen: false };
    case 'demo':
      return { ...base, environments: [demo, { ...staging, isOpen: false }] };
    default:
      return base;
  }
}

function countOf(scene: Scene, object: string): CountView {
  const salesforce = sizes[object] ?? 0;
  const rejected = object === 'Product2' ? 3 : 0;
  const missing = scene.name === 'differs' && object === 'PricebookEntry' ? 37 : 0;
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

function objectStatus(scene: Scene, object: string): StatusView['objects'][number] {
  const last = scene.jobs.find((one) => one.object === object) ?? null;
  const count = countOf(scene, object);
  const loadedAt = scene.jobs.find((one) => one.object === object && one.state === 'done')?.endedAt ?? null;
  const health =
    last?.state === 'running'
      ? 'backfilling'
      : last?.state === 'paused'
        ? 'paused'
        : last?.state === 'failed'
          ? 'failing'
          : loadedAt === null
            ? 'notLoaded'
            : count.unexplained === 0
              ? 'countsAgree'
              : 'differs';
  return {
    object,
    table: tables[object] ?? '',
    health,
    count,
    readyAt: loadedAt,
    loadedAt,
    job: last,
    problem: last?.problem ?? null,
  };
}

function words(scene: Scene, anyLoaded: boolean): [string, string] {
  if (!scene.signedIn)
    return ['Sign-in is needed.', 'Nobody is signed in to Salesforce; the shadow stands still.'];
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
  return [
    'The counts agree.',
    'Every record of 3 objects is in the shadow or rejected with a reason. 3 rejected products wait for a SKU of their own.',
  ];
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
    at: new Date().toISOString(),
  };
}

export function recognise(address: string): RecognisedOrg {
  const host =
    address
      .trim()
      .replace(/^https?:\/\//, '')
      .split('/')[0] ?? '';
  if (!host.includes('.')) {
    throw {
      code: 'SS-5004',
      title: 'This is not the address of an org',
      cause: 'An address looks like https://acme.my.salesforce.com or https://test.salesforce.com.',
      mender: 'you',
      steps: [],
      paste: null,
      act: 'none',
      details: '',
    } satisfies Problem;
  }
  const sandbox = host.includes('--');
  return {
    loginUrl: `https://${host.replace('.lightning.force.com', '.my.salesforce.com')}`,
    recognisedAs: sandbox ? 'Sandbox uat of halden' : 'Production org halden',
    proposedKind: sandbox ? 'staging' : 'production',
  };
}

function check(
  group: string,
  title: string,
  colour: CheckColour,
  finding: string,
  more: Partial<CheckView> = {},
): CheckView {
  return {
    id: title,
    group,
    title,
    colour,
    finding,
    cure: [],
    paste: null,
    code: null,
    tookMs: 84,
    apiCalls: 0,
    ...more,
  };
}

export const preflight: PreflightView = {
  checks: [
    check('Sign-in', 'Org answers', 'green', 'https://halden--uat.sandbox.my.salesforce.com'),
    check(
      'Sign-in',
      'Signed in',
      'green',
      'Halden Telecom · Enterprise Edition · sandbox uat · 00D7Y000000kXqPUAU',
    ),
    check('Objects and fields', 'Product2 can be read', 'green', '31 fields, 4 of 4 mapped fields', {
      apiCalls: 1,
    }),
    check('Objects and fields', 'PricebookEntry can be read', 'green', '14 fields', { apiCalls: 1 }),
    check(
      'Objects and fields',
      'Account.Internet_Eligibility__c',
      'red',
      'The sync user may not see this field',
      {
        code: 'SS-2011',
        cure: [
          'In Setup, open Permission Sets, choose Shadow Sync, then Object Settings, Accounts.',
          'Give Read on this field and save.',
        ],
        paste: 'Internet_Eligibility__c',
      },
    ),
    check('Limits', 'Daily API limit', 'yellow', '61,208 of 100,000 calls used', {
      cure: ['Background work stops at 80 %; a first backfill needs about 38 calls.'],
    }),
    check('Limits', 'Limits of the org', 'grey', 'The sync user may not view Setup; nothing depends on it'),
    check('Database', 'Database can be written', 'green', 'PostgreSQL 18.4, embedded'),
  ],
  green: 5,
  yellow: 1,
  red: 1,
  grey: 1,
  apiCalls: 4,
};

export function plan(chosen: string[]): BackfillPlan {
  const planned = chosen.map((object) => ({
    object,
    records: sizes[object] ?? 0,
    countedAt: at(0),
    apiCalls: 6 + Math.ceil((sizes[object] ?? 0) / PAGE),
    resumes: null,
  }));
  return { objects: planned, apiCalls: planned.reduce((sum, one) => sum + one.apiCalls, 0), seconds: 40 };
}

const allRejects: RejectView[] = [
  [
    '01t7Y00000TiCm0QAF',
    'GC1040 Gigabit Connect',
    'sku-taken',
    'SKU GC1040 is held by 01t7Y00000TiAa1QAF, which is older',
    '01t7Y00000TiAa1QAF',
  ],
  [
    '01t7Y00000TiCm1QAF',
    'Static IPv4 /29',
    'no-sku',
    'Neither StockKeepingUnit nor ProductCode has a value',
    null,
  ],
  [
    '01t7Y00000TiCm2QAF',
    'VPN Site Connect EU-West',
    'no-sku',
    'Neither StockKeepingUnit nor ProductCode has a value',
    null,
  ],
].map(([recordId, name, reason, explanation, other]) => ({
  object: 'Product2',
  recordId: recordId ?? '',
  name: name ?? null,
  reason: reason ?? '',
  explanation: explanation ?? '',
  cure:
    reason === 'sku-taken'
      ? 'Give one of the two products another code in Salesforce'
      : 'Give the product a code in Salesforce',
  otherRecordId: other ?? null,
  since: at(2_900),
  lastTriedAt: at(40),
  url: `https://halden--uat.sandbox.my.salesforce.com/${recordId}`,
}));

export function rejects(object: string | null): RejectsView {
  const chosen = allRejects.filter((one) => !object || one.object === object);
  return {
    rejects: chosen,
    total: chosen.length,
    reasons: [
      { object: 'Product2', reason: 'no-sku', records: 2 },
      { object: 'Product2', reason: 'sku-taken', records: 1 },
    ],
  };
}

function act(
  secondsAgo: number,
  name: string,
  sentence: string,
  result = 'done',
  tookMs: number | null = null,
): AuditView {
  return {
    at: at(secondsAgo),
    who: 'm.lindqvist@halden.example',
    host: 'console',
    act: name,
    sentence,
    result,
    tookMs,
  };
}

export const audit: AuditView[] = [
  act(1_620, 'verify.counts', 'Counted Product2, PricebookEntry and Account: all agree', 'done', 720),
  act(1_700, 'backfill.start', 'Backfill of PricebookEntry: 1,204,118 records', 'done', 36_000),
  act(1_740, 'backfill.start', 'Backfill of Account: 96,540 records', 'done', 41_000),
  act(1_790, 'backfill.start', 'Backfill of Product2: 8,412 records, 3 rejected', 'done', 6_000),
  act(1_900, 'sign-in', 'Signed in to Halden Telecom as m.lindqvist@halden.example', 'done', 9_400),
  act(2_000, 'sign-in', 'Sign-in to Halden Telecom: redirect_uri_mismatch (SS-1107)', 'failed', 3_100),
  act(2_100, 'environment.add', 'Added environment halden-staging'),
  act(
    80_000,
    'backfill.cancel',
    'Cancelled the backfill of PricebookEntry after page 7',
    'cancelled',
    12_000,
  ),
];
