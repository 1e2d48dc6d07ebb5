import type { JobKind, JobStage, JobView, PageState, RowsView } from '$lib/api/shapes';
import type { Cell } from '$lib/components/ui/PageCells.svelte';
import { counted, formatCount, formatShare, share } from '$lib/format/count';
import { formatDuration } from '$lib/format/duration';

/** What a job is called, and with its object: `Catch-up of Account`. */
export const jobKinds: Record<JobKind, string> = {
  backfill: 'backfill',
  catchUp: 'catch-up',
  formulas: 'formula refresh',
  fields: 'fill of new fields',
};

/** A job in a sentence: `the catch-up of Account`. */
export function theJob(job: JobView): string {
  return `the ${jobKinds[job.kind]} of ${job.object}`;
}

/** What running jobs do, for the status bar: `Backfill runs`, `3 jobs run`. */
export function runningWords(jobs: JobView[]): string {
  const [first] = jobs;
  if (jobs.length !== 1 || !first) return `${jobs.length} jobs run`;
  const name = jobKinds[first.kind];
  return `${name.charAt(0).toUpperCase()}${name.slice(1)} runs`;
}

/** What running jobs do to their objects, for who works: `loads Product2, catches up Account`. */
export function worksOn(jobs: JobView[]): string {
  const verbs: Record<JobKind, string> = {
    backfill: 'loads',
    catchUp: 'catches up',
    formulas: 'refreshes',
    fields: 'fills new fields of',
  };
  return jobs.map((job) => `${verbs[job.kind]} ${job.object}`).join(', ');
}

/** What a running job does, for the line under its numbers. */
export const stages: Record<JobStage, string> = {
  describing: 'reading the object’s fields',
  preparing: 'Salesforce prepares the results',
  comparingStamps: 'reading ids and stamps, to fetch only what differs',
  loading: 'pages are being merged',
  readingWindow: 'reading what changed since the last time',
  fetching: 'fetching records that claim one code',
  comparingIds: 'looking for rows that Salesforce no longer has',
  counting: 'counting both sides',
  ended: 'ended',
};

/** How a job ended, or where it stands, in a few words: the last column of the list. */
export function resultOf(job: JobView): string {
  switch (job.state) {
    case 'done':
      return outcomeOf(job.rows);
    case 'running':
      return job.total ? `running, ${formatShare(job.done, job.total)}` : 'running';
    case 'pending':
      return 'waits for its turn';
    case 'pausing':
      return 'stops after the rows in flight';
    case 'paused':
      return `paused${atPage(job)}`;
    case 'cancelling':
      return 'stops, 2 s at most';
    case 'cancelled':
      return `cancelled${atPage(job)}`;
    case 'failed':
      return `failed${job.problem ? `: ${job.problem.code}` : ''}`;
    case 'interrupted':
      return `interrupted${atPage(job)}, can be resumed`;
  }
}

/** What a whole load came to: `23,858 written, 142 rejected`, `all equal, nothing written`. */
function outcomeOf(rows: RowsView): string {
  const written = rows.new + rows.newer;
  const parts = [
    written > 0
      ? `${formatCount(written)} written`
      : rows.equal > 0
        ? 'all equal, nothing written'
        : 'nothing written',
    rows.rejected > 0 ? `${formatCount(rows.rejected)} rejected` : '',
    rows.removed > 0 ? `${formatCount(rows.removed)} removed` : '',
  ];
  return parts.filter(Boolean).join(', ');
}

function atPage(job: JobView): string {
  const merged = job.pages.filter((page) => page.state === 'merged').length;
  return merged > 0 ? ` after page ${merged}` : '';
}

/** `14 s left`, or what stands in its place. */
export function timeLeft(job: JobView): string {
  switch (job.state) {
    case 'running':
      if (job.stage !== 'loading') return stageTitle(job.stage);
      return job.leftMs === null ? 'estimating' : `${formatDuration(Math.max(1000, job.leftMs))} left`;
    case 'pending':
      return 'waits';
    case 'pausing':
      return 'pausing';
    case 'paused':
      return 'paused';
    case 'cancelling':
      return 'cancelling';
    case 'cancelled':
      return 'cancelled';
    case 'failed':
      return 'failed';
    case 'interrupted':
      return 'interrupted';
    case 'done':
      return 'done';
  }
}

function stageTitle(stage: JobStage): string {
  const titles: Partial<Record<JobStage, string>> = {
    describing: 'reading fields',
    preparing: 'Salesforce prepares',
    comparingStamps: 'comparing stamps',
    readingWindow: 'reading changes',
    fetching: 'fetching',
    comparingIds: 'comparing ids',
    counting: 'counting',
  };
  return titles[stage] ?? 'estimating';
}

/** The page cells of a job. */
export function cellsOf(job: JobView): Cell[] {
  return job.pages.map((page) => ({ state: page.state, share: share(page.merged, page.records) }));
}

/** How many pages are in each state, for the legend; states without a page are left out, except merged. */
export function pageCounts(job: JobView): [PageState, number][] {
  const states: PageState[] = ['merged', 'merging', 'downloading', 'failed', 'waiting'];
  return states
    .map((state): [PageState, number] => [state, job.pages.filter((page) => page.state === state).length])
    .filter(([state, count]) => state === 'merged' || count > 0);
}

/** The statement of a job: `PricebookEntry, 742,880 of 1,204,118 records`. */
export function headline(job: JobView): string {
  if (job.kind !== 'backfill') {
    const name = `${job.object}, ${jobKinds[job.kind]}`;
    return job.done > 0 ? `${name}: ${counted(job.done, 'record')} read` : name;
  }
  if (!job.total) return job.done > 0 ? `${job.object}, ${counted(job.done, 'record')}` : job.object;
  return `${job.object}, ${formatCount(job.done)} of ${counted(job.total, 'record')}`;
}
