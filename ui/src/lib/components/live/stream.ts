import type { StreamView, WorkerView } from '$lib/api/shapes';
import { formatCount } from '$lib/format/count';
import { formatAgo } from '$lib/format/time';
import { LATE_MS } from '$lib/components/objects/live';

export interface StreamWords {
  text: string;
  tone: 'plain' | 'attention' | 'fails';
}

/** How the stream is, for the status bar: `Stream heard 4 s ago`. Silence beyond 330 s is a failure, whatever it says of itself. */
export function streamWords(stream: StreamView | null, now: number): StreamWords | undefined {
  if (!stream) return undefined;
  const heard = stream.heardAt ? `heard ${formatAgo(stream.heardAt, now)}` : 'not heard yet';
  switch (stream.state) {
    case 'live': {
      const silent = stream.heardAt !== null && now - Date.parse(stream.heardAt) > LATE_MS;
      return { text: `Stream ${heard}`, tone: silent ? 'fails' : 'plain' };
    }
    case 'connecting':
      return { text: 'Stream connects', tone: 'plain' };
    case 'polling':
      return { text: 'Event allocation is spent: changes are polled', tone: 'attention' };
    case 'paused':
      return { text: 'Sync is paused', tone: 'plain' };
    case 'backoff':
      return { text: `Stream is tried again, ${heard}`, tone: 'attention' };
    case 'stopped':
      return { text: 'Nobody streams', tone: 'attention' };
    case 'failed':
      return { text: `Stream failed, ${heard}`, tone: 'fails' };
  }
}

/** What waits to be applied: `0 waiting`. */
export function backlogWords(stream: StreamView): string {
  return `${formatCount(stream.backlogEvents)} waiting`;
}

/** What a worker does: `streams, applies`, `stands by`. */
export function workerDoes(worker: WorkerView): string {
  if (worker.streaming) return 'streams, applies';
  return worker.role === 'leader' ? 'leads, no stream' : 'stands by';
}

/** Whether this console is the only one that works: quitting it stops sync. */
export function isOnlyWorker(workers: WorkerView[]): boolean {
  return workers.length > 0 && workers.every((worker) => worker.isThis);
}
